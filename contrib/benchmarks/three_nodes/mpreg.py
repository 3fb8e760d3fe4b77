"""Three nodes of one mpreg pool, asked from inside the leader's process and over HTTP."""

import asyncio
import itertools
import json
import sys

from three_nodes.http import Client
from three_nodes.load import Load, run
from three_nodes.trio import KEYS, VALUE, Trio, free_ports

START_S = 60
PLANES = ("listen", "gossip", "membership", "consensus", "routing")


class Mpreg(Trio):
    """A local hub and two cluster nodes, all of which vote; the engine `raft` with its defaults."""

    name = "mpreg"
    engine = "raft"

    async def start(self) -> None:
        """The hub first, so that the others find it."""
        self._ports = [free_ports(len(PLANES)) for _ in range(3)]
        hub = dict(zip((f"{plane}_port" for plane in PLANES), self._ports[0], strict=True))
        for each in range(3):
            network = dict(zip((f"{plane}_port" for plane in PLANES), self._ports[each], strict=True))
            node = {"id": f"n{each}", "hub_tier": "cluster" if each else "local", "region": "here"}
            node |= {"data_dir": str(self.folder / f"n{each}")}
            config: dict[str, object] = {
                "node": node | ({"parent_hub": "n0"} if each else {}),
                "network": {"listen_host": "127.0.0.1", **network},
                "monitoring": {"metrics_port": 0},
                "consensus": {"strategy": self.engine},
            }
            if each:
                config["federation"] = {"peers": {"n0": {"host": "127.0.0.1", **hub}}}
            file = self.folder / f"n{each}.json"
            file.write_text(json.dumps(config))
            await self.spawn(sys.executable, "-m", "three_nodes.mpreg_node", str(file))
        self._http = [Client(ports[0]) for ports in self._ports]
        async with asyncio.timeout(START_S):
            while not await self._is_ready():
                await asyncio.sleep(0.1)

    async def _is_ready(self) -> bool:
        try:
            for client in self._http:
                _, status = await client.ask("GET", "/api/consensus/status")
                (pool,) = status["pools"]
                if len(pool["voters"]) < 3 or not pool["stats"].get("leader"):
                    return False
        except (OSError, KeyError, ValueError):
            return False
        return await self._try(0)

    async def embedded(self, kind: str, in_flight: int, seconds: float) -> Load:
        """In the leader's process."""
        process = self.processes[await self.leader()]
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"kind": kind, "in_flight": in_flight, "seconds": seconds, "keys": KEYS, "value": VALUE}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        return Load(**json.loads(await process.stdout.readline()))

    async def by_http(self, kind: str, in_flight: int, seconds: float) -> Load:
        """At the leader, too."""
        client = self._http[await self.leader()]

        async def operation(number: int) -> None:
            path = f"/api/state/k{number % KEYS}?scope=pool&consistency=linearizable"
            body = {"value": VALUE} if kind == "write" else None
            status, answer = await client.ask("PUT" if kind == "write" else "GET", path, body)
            assert status == 200, (status, answer)

        return await run(operation, in_flight, seconds)

    async def leader(self) -> int:
        """As the first that answers says."""
        _, status = await self._http[1].ask("GET", "/api/consensus/status")
        return int(status["pools"][0]["stats"]["leader"][1:])

    _numbers = itertools.count()

    async def write_once(self, at: int) -> bool:
        """A linearizable put."""
        path = "/api/state/key?scope=pool&consistency=linearizable"
        status, _ = await self._http[at].ask("PUT", path, {"value": next(self._numbers)})
        return status == 200
