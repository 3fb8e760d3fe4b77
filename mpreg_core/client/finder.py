"""Which of its hubs a client connects to: the one that welcomes it first, of all that are asked at once."""

from collections.abc import Callable, Sequence
from ssl import SSLContext

import anyio
from anyio.abc import TaskGroup

from mpreg_core.client.link import BrokenLinkError, Link
from mpreg_core.errors import ConfigError, MpregError, UnauthenticatedError, UnavailableError


class Finder:
    """Asks `hubs`, each `host:routing_port`. Raises `ConfigError` for one that is none.

    `refusal` is what a hub said last that took nobody, until one does; `refused_for_good` that all hubs said what a
    retry does not help against; `trouble` why a connection came to nothing.
    """

    def __init__(
        self, hubs: Sequence[str], name: str, federation: str, token: Callable[[], str], tls: SSLContext | None
    ) -> None:
        self._addresses = [_address(hub) for hub in hubs]
        if not self._addresses:
            raise ConfigError("expected at least one hub, as host:routing_port")
        self._name, self._federation, self._token, self._tls = name, federation, token, tls
        self.refusal: MpregError | None = None
        self.refused_for_good = False
        self.trouble = ""

    def why(self, timeout_s: float) -> MpregError:
        """What to tell who waited so long in vain."""
        if self.refusal is not None:
            return self.refusal
        hubs = ", ".join(f"{host}:{port}" for host, port in self._addresses)
        trouble = f": {self.trouble}" if self.trouble else ""
        return UnavailableError(f"no hub answers in {timeout_s:g} s{trouble}", where=hubs)

    async def nearest(self, timeout_s: float) -> Link | None:
        """The hub that welcomes first; None when nobody did in time."""
        found: list[Link] = []
        refusals: list[MpregError] = []
        try:
            token = self._token()
        except Exception as error:  # user code; a file that is being replaced is there again at the next try
            self.refusal = UnauthenticatedError(f"cannot get a token: {type(error).__name__}: {error}")
            return None

        async def attempt(host: str, port: int, tasks: TaskGroup) -> None:
            try:
                link = await Link.open(host, port, self._name, self._federation, token, self._tls)
            except MpregError as refusal:
                refusals.append(refusal)
                return
            except BrokenLinkError as broken:
                self.trouble = str(broken) if len(self._addresses) == 1 else f"{host}:{port}: {broken}"
                return
            if found:
                await link.close()
            else:
                found.append(link)
                tasks.cancel_scope.cancel()

        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as tasks:
                for host, port in self._addresses:
                    tasks.start_soon(attempt, host, port, tasks)
        self.refusal = None if found else refusals[-1] if refusals else self.refusal
        lasting = [refusal for refusal in refusals if not refusal.retryable]
        self.refused_for_good = len(lasting) == len(self._addresses)
        return found[0] if found else None


def _address(hub: str) -> tuple[str, int]:
    """Host and port of `host:routing_port`. Raises `ConfigError`."""
    host, _, port = hub.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigError(f"expected a hub as host:routing_port, got {hub!r}")
    return host.strip("[]"), int(port)
