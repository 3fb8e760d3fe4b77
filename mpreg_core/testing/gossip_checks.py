"""Gossip: every item reaches every member, once, at a bounded price."""

from mpreg_core.contracts.events import Published
from mpreg_core.node.actions import Transmit
from mpreg_core.sim import SimNode
from mpreg_core.testing.report import NotConformingError
from mpreg_core.testing.subject import HUB, Subject, most_of

NODES = 12
REACH_S = 30.0
COPIES_MAX = 8.0
"""Copies of one item on the wire per member, while nothing is lost."""

LARGE_BYTES = 60_000
MARK = "a-mark-that-is-found-in-frames"


def items_reach_all(subject: Subject) -> None:
    """State that is written anywhere is everywhere, also when a tenth of the datagrams is lost."""
    for seed in subject.seeds:
        for loss in (0.0, 0.1):
            pool = subject.pool(NODES, seed, loss=loss)
            for number, node in enumerate(pool.ids[:5]):
                pool.put(node, f"k{number}", number)
            pool.expect(
                lambda p=pool: all(set(p.values(f"k{n}").values()) == {n} for n in range(5)),  # type: ignore[misc]
                REACH_S,
                f"five items at all {NODES} members in {REACH_S} s with {loss:.0%} loss",
            )


def messages_come_once(subject: Subject) -> None:
    """A message is delivered once to every member, with nothing lost on the way."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed)
        pool.listen()
        pool.world.run(2)
        for number in range(5):
            pool.publish(pool.ids[number], f"topic.{number}", b"1")
        pool.world.run(REACH_S)
        seen: dict[tuple[str, str], int] = {}
        for node, event in pool.events(Published):
            seen[node, event.topic] = seen.get((node, event.topic), 0) + 1
        for node in pool.ids:
            for number in range(5):
                count = seen.get((node, f"topic.{number}"), 0)
                if count != 1:
                    raise NotConformingError("each message once at each member", f"{count} times at {node}", seed)


def a_late_joiner_catches_up(subject: Subject) -> None:
    """A member that joins later gets what is held."""
    for seed in subject.seeds:
        pool = subject.pool(5, seed)
        for number in range(20):
            pool.put("n01", f"late{number}", number)
        pool.world.run(5)
        pool.add("late", "cluster", HUB)
        pool.expect(
            lambda p=pool: all(p.values(f"late{n}")["late"] == n for n in range(20)),  # type: ignore[misc]
            REACH_S,
            f"twenty items at a late joiner in {REACH_S} s",
        )


def gaps_are_closed(subject: Subject) -> None:
    """What two halves wrote while they were apart is everywhere afterwards, and what was removed stays so."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed)
        pool.put(HUB, "gone", 1)
        pool.expect(lambda p=pool: set(p.values("gone").values()) == {1}, REACH_S, "an item at all")  # type: ignore[misc]
        half = most_of(pool.ids)
        pool.world.network.partition(half)
        pool.put(half[0], "left", 1)
        pool.put(pool.ids[-1], "right", 2)
        pool.delete(half[0], "gone")
        pool.world.run(20)
        pool.world.network.heal()
        pool.expect(
            lambda p=pool: [set(p.values(k).values()) for k in ("left", "right", "gone")] == [{1}, {2}, {None}],  # type: ignore[misc]
            3 * REACH_S,
            "both halves' writes everywhere, and the removed item nowhere",
        )


def large_items_pass(subject: Subject) -> None:
    """An item far larger than a datagram reaches all."""
    pool = subject.pool(5, subject.seeds[0])
    text = "x" * LARGE_BYTES
    pool.put("n01", "large", text)
    pool.expect(lambda: set(pool.values("large").values()) == {text}, REACH_S, f"an item of {LARGE_BYTES} bytes at all")


def redundancy_is_bounded(subject: Subject) -> None:
    """An item goes over the wire a few times per member, not once for each pair."""
    pool = subject.pool(NODES, subject.seeds[0])
    pool.world.run(10)
    copies = 0
    real = pool.world._transmit

    def counted(node: SimNode, action: Transmit) -> None:
        nonlocal copies
        copies += len(action.to) * action.frame.count(MARK.encode())
        real(node, action)

    pool.world._transmit = counted  # type: ignore[method-assign]
    pool.put("n01", "marked", MARK)
    pool.world.run(0.9)
    if copies > COPIES_MAX * NODES:
        raise NotConformingError(f"at most {COPIES_MAX:g} copies per member", f"{copies / NODES:.1f}", pool.seed)
