"""The errors mpreg raises. Each class says who is at fault, whether anything took effect, and whether a retry helps.

`code` is the stable word for programs (HTTP and CLI print it), `retryable` whether the same call may succeed later,
`definite` whether the operation certainly took no effect.
"""

from collections.abc import Sequence
from difflib import get_close_matches


class MpregError(Exception):
    """Base of all errors. `where` names the file and key path, node, peer or pool concerned.

    `retryable`: the same call may succeed later, after `retry_after_s` where that is known. `definite`: the operation
    certainly took no effect.
    """

    code = "internal"
    retryable = False
    definite = True
    retry_after_s = 0.0

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`, did you mean 'x'?` for the closest known name, or the empty string."""
    close = get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


class ConfigError(MpregError):
    """The operator's configuration is wrong. Nothing was started. Mend the file; a retry alone does not help."""

    code = "invalid_configuration"


class PluginError(MpregError):
    """A plugin is at fault. `plugin` is its entry point name, `distribution` its distribution with version."""

    code = "plugin"

    def __init__(self, message: str, *, plugin: str = "", distribution: str = "") -> None:
        super().__init__(message, where=f"plugin {plugin} ({distribution})" if plugin else "")
        self.plugin = plugin
        self.distribution = distribution


class PluginLoadError(PluginError):
    """The plugin's module raised on import or registration. It provides nothing in this process."""

    code = "plugin_load"


class ApiMismatchError(PluginError):
    """The plugin was built for another contract version than this core's."""

    code = "plugin_api"


class DuplicateStrategyError(PluginError):
    """Two distributions provide the same (family, name). Uninstall or block one of them."""

    code = "plugin_duplicate"


class UnknownStrategyError(PluginError):
    """The configuration names a strategy that no installed plugin provides."""

    code = "unknown_strategy"

    def __init__(self, family: str, name: str, known: Sequence[str]) -> None:
        installed = ", ".join(sorted(known)) or "none; `pip install mpreg` brings the default plugins"
        super().__init__(f"unknown {family} strategy {name!r}{did_you_mean(name, known)} (installed: {installed})")


class ContractViolationError(PluginError):
    """A strategy broke its contract: raised, returned a wrong effect, or looped. It is a bug in the plugin."""

    code = "contract_violation"


class ProtocolError(MpregError):
    """Bytes from the network were not what the protocol allows. The frame was dropped; no state was touched."""

    code = "protocol"


class RequestError(MpregError):
    """A request had no reply. `where` is the node that gave up."""

    code = "request_failed"
    retryable = True
    definite = False


class NoRouteError(RequestError):
    """No live way to the target is known at `where`. The request was not delivered."""

    code = "no_route"
    definite = True
    retry_after_s = 0.0


class BudgetSpentError(RequestError):
    """The hop budget was used up at `where`; a router misled the request. It was not delivered."""

    code = "budget_spent"
    retryable = False
    definite = True
    retry_after_s = 0.0


class RequestTimeoutError(RequestError):
    """No reply came in time. The handler may have run."""

    code = "timeout"


class OverloadedError(RequestError):
    """A queue at `where` is full. The request was not delivered; wait `retry_after_s` before the retry."""

    code = "overloaded"
    definite = True
    retry_after_s = 1.0
    retry_after_s = 0.0


class HandlerError(RequestError):
    """The service's handler raised. It ran; whether it took effect is the service's own matter."""

    code = "handler_failed"
    retryable = False


class PayloadTooLargeError(MpregError):
    """The payload is over the limit named in the message. Nothing was sent."""

    code = "payload_too_large"


class ProposalError(MpregError):
    """A proposal could not be decided."""

    code = "proposal_failed"
    retryable = True
    definite = False


class NoQuorumError(ProposalError):
    """Too few voters answered in time. Undecided: a voter may still learn of it."""

    code = "no_quorum"


class ConflictError(MpregError):
    """`if_version` did not match, or another policy governs the key. Nothing was written; read again, then retry."""

    code = "conflict"
    retryable = True


class NotFoundError(MpregError):
    """The named thing is not known to this node."""

    code = "not_found"


class CompactedError(MpregError):
    """The changes asked for are no longer known here, or not of this node. Read the keys, then watch from `revision`.

    `oldest` is the lowest revision that can be watched from.
    """

    code = "compacted"

    def __init__(self, since: int, oldest: int, revision: int, *, where: str = "") -> None:
        super().__init__(
            f"expected a revision of {oldest} to {revision} to watch from, got {since}: what changed then is not "
            "known here; read the keys, then watch from the revision of that answer",
            where=where,
        )
        self.oldest = oldest
        self.revision = revision


class UnauthenticatedError(MpregError):
    """Nobody knows who asks: the token is missing, wrong or expired. Nothing was done; come with another one."""

    code = "unauthenticated"


class ForbiddenError(MpregError):
    """Whoever asks may not do that. Nothing was done."""

    code = "forbidden"


class InvalidInputError(MpregError):
    """The caller's argument is wrong. Nothing was done."""

    code = "invalid"


class UnavailableError(MpregError):
    """The node cannot serve this now (draining, stopping, disk full, not in the pool). Try another or later."""

    code = "unavailable"
    retryable = True


class StorageError(MpregError):
    """The disk refused or the journal is damaged. The node must not go on as if the record were durable."""

    code = "storage"


class TransportError(MpregError):
    """A peer could not be reached. Frames of the batch may or may not have arrived."""

    code = "transport"
    retryable = True
    definite = False
