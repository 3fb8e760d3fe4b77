"""How many deliveries are still missing two seconds after a message was sent, with loss: in the simulator.

    python contrib/benchmarks/missed_deliveries.py [MESSAGES]

A pool of 100 with 1 % loss, one message each 10 ms from changing members; 10,000 messages are a million deliveries.
"""

import sys
from collections import deque

from mpreg_core import NS_PER_S
from mpreg_core.contracts.events import Published
from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts

MEMBERS, LOSS, GAP_S, WITHIN_S = 100, 0.01, 0.01, 2.0


def main() -> None:
    """Print what was missed."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    fleet = Fleet.of_shape(installed_parts(), 1, 1, 1, MEMBERS - 1, seed=1)
    world = fleet.world
    members = [node for node in fleet.regions if node.startswith("us-east-1")]
    for name in members:
        world.command(name, lambda core: core.messages.subscribe("t"))
    world.run(30)
    world.network.faults.loss = LOSS
    reached: dict[str, set[str]] = {}
    waiting: deque[tuple[int, str]] = deque()
    missed = slowest_ns = 0

    def collect() -> None:
        for name in members:
            node = world.nodes[name]
            for each in node.events:
                if isinstance(each.event, Published) and each.event.id in reached:
                    reached[each.event.id].add(name)
            node.events.clear()

    for number in range(messages + round(WITHIN_S / GAP_S) + 1):
        if number < messages:
            sent: list[str] = []
            world.command(
                members[number % MEMBERS], lambda core, sent=sent: sent.append(core.spread.publish("t", b"1"))
            )
            reached[sent[0]] = {members[number % MEMBERS]}
            waiting.append((world.now_ns, sent[0]))
        world.run(GAP_S)
        collect()
        while waiting and (
            len(reached[waiting[0][1]]) == MEMBERS or world.now_ns - waiting[0][0] >= WITHIN_S * NS_PER_S
        ):
            at_ns, message = waiting.popleft()
            missed += MEMBERS - len(reached.pop(message))
            slowest_ns = max(slowest_ns, world.now_ns - at_ns)
    print(f"{messages * MEMBERS:,} deliveries, {missed} missing after {WITHIN_S:g} s; the last came within ", end="")
    print(f"{slowest_ns / NS_PER_S:.2f} s")


if __name__ == "__main__":
    main()
