"""A pool of nodes over real sockets in one process: what each costs in memory and, idle, in CPU time.

`python pool_in_one_process.py NODES SECONDS` prints JSON: `resident_kb_first` (the process with one node),
`resident_kb_each` (each further node, once all know all), `core_percent_each` (over SECONDS of idling), `started_s` and
`formed_s` (from the start of all at once until the last runs, and until all know all), `false_failures` at the end.
"""

import gc
import json
import os
import sys
import time
from typing import Any

import anyio

from mpreg_core.config.load import read_config
from mpreg_core.config.model import NodeConfig
from mpreg_core.embed.node import Node
from mpreg_core.plugin.discovery import load_plugins

HUB = "hub"
DEADLINE_S = 120


def config(id: str, tier: str, hub_ports: dict[str, Any] | None = None) -> NodeConfig:
    """A node on free ports of loopback; with `hub_ports` it hangs below the hub."""
    planes = ("listen", "gossip", "membership", "consensus", "routing")
    network = {"listen_host": "127.0.0.1", **{f"{plane}_port": 0 for plane in planes}}
    node: dict[str, object] = {"id": id, "hub_tier": tier, "region": "here"}
    data: dict[str, object] = {"network": network, "node": node}
    if hub_ports is not None:
        node["parent_hub"] = HUB
        data["federation"] = {"peers": {HUB: hub_ports}}
    made, problems = read_config(data=data, env={})
    assert not problems, problems
    return made


def resident_kb() -> float:
    """The process's resident set, in units of 1000 bytes."""
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1000


async def keep(node: Node, running: list[Any], end: anyio.Event) -> None:
    """Run a node until the end."""
    async with node as handle:
        running.append(handle)
        await end.wait()
        await handle.shutdown()


async def measure(nodes: int, seconds: float) -> dict[str, float]:
    """Start the hub, all others at once, let them idle, tell."""
    plugins = load_plugins()
    end = anyio.Event()
    hub = Node(config(HUB, "local"), plugins=plugins)
    async with hub as first, anyio.create_task_group() as group:
        running: list[Any] = [first]
        ports: dict[str, Any] = {f"{plane}_port": endpoint.port for plane, endpoint in hub.endpoints.items()}
        ports["host"] = "127.0.0.1"
        made = [Node(config(f"node-{number}", "cluster", ports), plugins=plugins) for number in range(nodes - 1)]
        gc.collect()
        first_kb, begun = resident_kb(), time.monotonic()
        for node in made:
            group.start_soon(keep, node, running, end)
        with anyio.fail_after(DEADLINE_S):
            while len(running) < nodes:
                await anyio.sleep(0.01)
            started_s = time.monotonic() - begun
            incomplete = list(running)
            while incomplete:
                while incomplete and len(incomplete[-1].members()) == nodes:
                    incomplete.pop()
                await anyio.sleep(0.02)
        formed_s = time.monotonic() - begun
        await anyio.sleep(5)
        cpu, begun = time.process_time(), time.monotonic()
        await anyio.sleep(seconds)
        core_percent = 100 * (time.process_time() - cpu) / (time.monotonic() - begun)
        gc.collect()
        result = {
            "resident_kb_first": first_kb,
            "resident_kb_each": (resident_kb() - first_kb) / (nodes - 1),
            "core_percent_each": core_percent / nodes,
            "started_s": started_s,
            "formed_s": formed_s,
            "false_failures": sum(view.member.status == "failed" for node in running for view in node.members()),
        }
        end.set()
    return result


if __name__ == "__main__":
    found = anyio.run(measure, int(sys.argv[1]), float(sys.argv[2]), backend_options={"use_uvloop": True})
    sys.stdout.write(json.dumps(found) + "\n")
