"""Whom a node takes as a client, and what each may say: as over HTTP, by token and role."""

from ipaddress import ip_address

from msgspec import Struct

from mpreg_core.contracts.access import ANYBODY, Identity, Role
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import ForbiddenError, MpregError, OverloadedError, UnavailableError
from mpreg_core.limits import CLIENTS_MAX, WIRE_VERSION
from mpreg_core.node.state import NodeState
from mpreg_core.wire.client import Ask, ClientHello, Offer, Publish, Subscribe
from mpreg_core.wire.codec import FrameError

_TAKES: dict[type[Struct], tuple[Role, str]] = {
    Ask: ("operator", "asking a service"),
    Offer: ("operator", "serving"),
    Publish: ("operator", "publishing"),
    Subscribe: ("viewer", "subscribing"),
}
"""Which role a message takes, and what it is called; the others are about what these began."""


class _WireError(MpregError):
    code = "wire"


class _FederationError(MpregError):
    code = "federation"


def admit(state: NodeState, source: Endpoint, hello: ClientHello, shown: Identity | None, connected: int) -> Identity:
    """Who says hello, while so many are `connected`; `shown` is who that is by certificate.

    Raises the `MpregError` to refuse it with.
    """
    federation = state.settings.federation
    if hello.wire != WIRE_VERSION:
        raise _WireError(f"expected wire version {WIRE_VERSION}, got {hello.wire}")
    if hello.federation not in ("", federation):
        raise _FederationError(f"this node is of federation {federation}, not {hello.federation}")
    identity = shown if shown is not None and not hello.token else _identify(state, source, hello.token)
    if state.draining:
        raise UnavailableError("the node is draining")
    if connected >= CLIENTS_MAX:
        raise OverloadedError(f"{CLIENTS_MAX} clients are connected")
    return identity


def _identify(state: NodeState, source: Endpoint, token: str) -> Identity:
    settings = state.settings
    if settings.authenticator is not None:
        return settings.authenticator.identify(token, state.wall_ms)
    if not settings.open_to_all and not _is_loopback(source.host):
        raise ForbiddenError(
            "clients of other hosts are taken only where security.authentication says who may, or its method is none"
        )
    return ANYBODY


def require_node(shown: Identity | None) -> None:
    """Raise `FrameError` where what only nodes say comes from who is none."""
    if shown is None or not shown.is_node:
        who = f"{shown.subject[:100]!r}" if shown is not None else "who showed no certificate"
        raise FrameError("not_a_node", f"from {who}")


def require(identity: Identity, message: Struct) -> None:
    """Raise `ForbiddenError` unless a client may say `message`."""
    takes = _TAKES.get(type(message))
    if takes is not None:
        identity.require(*takes)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # the simulator's hosts have names
        return False
