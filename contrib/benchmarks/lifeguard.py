"""False failures with slow members, `swim` against the plain SWIM of 2002: `python contrib/benchmarks/lifeguard.py`.

Lifeguard's experiment (arXiv 1707.00788, section V) in the simulator: a pool of 60, of which some members are slow, and
the failures that are told of members which are not. Slow is, in turn: paused again and again, as a starved process
is; and late with every message. Plain SWIM here is the same machine with what came after it taken out: no local health,
no suspicion that depends on confirmations, no buddy notification, no second opinion, no pause guard, no connections
that tell of a death. Its suspicion lasts as long as the shortest of `swim`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from mpreg_core.contracts.events import MemberChanged
from mpreg_core.sim import Fleet
from mpreg_core.sim.network import Link
from mpreg_core.testing import installed_parts
from mpreg_detector_swim import awareness, machine, opinions, prober, suspicion, witness

MEMBERS, SECONDS, SEEDS = 60, 100.0, 1
SLOW = (6, 20)
PAUSED_S, RUNS_S = 16.0, 0.3
LATE_S = 2.0

Trouble = Callable[[Fleet, list[str]], None]


def pauses(fleet: Fleet, slow: list[str]) -> None:
    """Stop the slow for some seconds, let them run for a moment, again and again, each at its own time."""

    def pause(node: str) -> None:
        fleet.world.pause(node)
        fleet.world.later(PAUSED_S, lambda: resume(node))

    def resume(node: str) -> None:
        fleet.world.resume(node)
        fleet.world.later(RUNS_S, lambda: pause(node))

    for place, node in enumerate(slow):
        fleet.world.later(place * PAUSED_S / len(slow), lambda node=node: pause(node))  # type: ignore[misc]


def delays(fleet: Fleet, slow: list[str]) -> None:
    """All that the slow send and get comes late."""
    fleet.world.network.slow |= {node: Link(delay_s=LATE_S) for node in slow}


@contextmanager
def plain() -> Iterator[None]:
    """SWIM as of 2002."""
    changes: tuple[tuple[type, str, object], ...] = (
        (awareness.Awareness, "worse", lambda self, by=1: None),
        (awareness.PauseGuard, "pause_ended", lambda self, now_ns, due_ns: False),
        (suspicion.SuspicionTime, "after", lambda self, confirmations: round(self.longest_ns / 3)),
        (opinions.Opinions, "piggyback", _without_buddies(opinions.Opinions.piggyback)),
        (prober.Prober, "second_opinion", lambda self, now_ns, target, asker: None),
        (prober.Prober, "sweep_if_many", lambda self, now_ns: None),
        (witness.Witness, "on_change", lambda self, now_ns: None),
        (machine.Swim, "on_evidence", lambda self, now_ns, peer, evidence: ()),
    )
    with ExitStack() as stack:
        for owner, name, instead in changes:
            stack.enter_context(patch.object(owner, name, instead))
        yield


def _without_buddies(piggyback: Callable[..., object]) -> Callable[..., object]:
    return lambda self, to: piggyback(self, None)


def false_failures(trouble: Trouble, slow: int, seed: int) -> tuple[int, int]:
    """Failures told of members that are well: at all members, and at those that are well themselves."""
    fleet = Fleet.of_shape(installed_parts(), 1, 1, 1, MEMBERS - 1, seed=seed)
    fleet.world.run(20)
    members = [node for node in fleet.regions if node.startswith("us-east-1-")]
    ill = set(members[:: len(members) // slow][:slow])
    for node in fleet.world.nodes.values():
        node.events.clear()
    trouble(fleet, sorted(ill))
    fleet.world.run(SECONDS)
    everywhere = among_the_well = 0
    for name, node in fleet.world.nodes.items():
        for occurrence in node.events:
            event = occurrence.event
            if isinstance(event, MemberChanged) and event.change == "failed" and event.member.id not in ill:
                everywhere += 1
                among_the_well += name not in ill
    return everywhere, among_the_well


def total(trouble: Trouble, slow: int) -> tuple[int, int]:
    """Over the seeds."""
    found = [false_failures(trouble, slow, seed) for seed in range(1, SEEDS + 1)]
    return sum(each[0] for each in found), sum(each[1] for each in found)


def main() -> None:
    """Print a table."""
    print(
        f"false failures of members that are well, in a pool of {MEMBERS}, {SEEDS} x {SECONDS:.0f} s; of these at such"
    )
    print(f"{'slow members':<28} {'plain SWIM':>16} {'swim':>16}")
    for trouble, title in (
        (pauses, f"paused {PAUSED_S:.0f} of {PAUSED_S + RUNS_S} s"),
        (delays, f"late by {LATE_S} s"),
    ):
        for slow in SLOW:
            with plain():
                before = total(trouble, slow)
            after = total(trouble, slow)
            told = f"{before[0]:>9} / {before[1]:<5} {after[0]:>9} / {after[1]:<5}"
            print(f"{slow:>3} {title:<24} {told}", flush=True)


if __name__ == "__main__":
    main()
