"""Which of its hubs a client connects to: the one that welcomes it first, of all that are asked at once."""

from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from mpreg_core.client.link import BrokenLinkError, Link
from mpreg_core.errors import ConfigError, MpregError


class Finder:
    """Asks `hubs`, each `host:routing_port`. Raises `ConfigError` for one that is none.

    `refusal` is what a hub said last that took nobody, until one does; `refused_for_good` that all hubs said what a
    retry does not help against.
    """

    def __init__(self, hubs: Sequence[str], name: str, federation: str, token: Callable[[], str]) -> None:
        self._addresses = [_address(hub) for hub in hubs]
        if not self._addresses:
            raise ConfigError("expected at least one hub, as host:routing_port")
        self._name, self._federation, self._token = name, federation, token
        self.refusal: MpregError | None = None
        self.refused_for_good = False

    @property
    def where(self) -> str:
        """The hubs."""
        return ", ".join(f"{host}:{port}" for host, port in self._addresses)

    async def nearest(self, timeout_s: float) -> Link | None:
        """The hub that welcomes first; None when nobody did in time."""
        found: list[Link] = []
        refusals: list[MpregError] = []
        token = self._token()

        async def attempt(host: str, port: int, tasks: TaskGroup) -> None:
            try:
                link = await Link.open(host, port, self._name, self._federation, token)
            except MpregError as refusal:
                refusals.append(refusal)
                return
            except (OSError, BrokenLinkError):
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
