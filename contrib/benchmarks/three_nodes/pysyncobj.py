"""Three processes of PySyncObj with its journal, which it never syncs, and with batching as it measured best."""

import asyncio
import json
import sys

from three_nodes.load import Load
from three_nodes.trio import KEYS, VALUE, Trio, Unavailable, free_ports


class PySyncObj(Trio):
    """Writes alone, from inside the leader's process: it has neither linearizable reads nor HTTP."""

    name = "pysyncobj"
    has_http = False

    async def start(self) -> None:
        """Each is told of the others."""
        try:
            import pysyncobj  # noqa: F401 - needed by this make alone
        except ImportError:
            raise Unavailable("PySyncObj is not installed: pip install pysyncobj") from None
        ports = free_ports(3)
        for each in range(3):
            names = [f"127.0.0.1:{port}" for port in (ports[each], *ports[:each], *ports[each + 1 :])]
            journal = str(self.folder / f"journal-{each}")
            await self.spawn(sys.executable, "-m", "three_nodes.pysyncobj_node", journal, *names)
        self._leader = await self._ask_leader()

    async def _ask_leader(self) -> int:
        while True:
            for each in range(3):
                if (await self._order(each, {"kind": "leads"}))["leads"]:
                    return each
            await asyncio.sleep(0.2)

    async def _order(self, each: int, order: dict[str, object]) -> dict[str, float]:
        process = self.processes[each]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, float] = json.loads(await process.stdout.readline())
        return answer

    async def leader(self) -> int:
        """As they said at the start."""
        return self._leader

    async def embedded(self, kind: str, in_flight: int, seconds: float) -> Load:
        """Writes."""
        order = {"kind": kind, "in_flight": in_flight, "seconds": seconds, "keys": KEYS, "value": VALUE}
        return Load(**await self._order(self._leader, order))
