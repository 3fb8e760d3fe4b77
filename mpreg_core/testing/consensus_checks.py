"""Consensus: what is decided stays decided, everywhere; a minority decides nothing; life goes on when faults end."""

from collections.abc import Iterator, Sequence

from mpreg_core.contracts.events import Decided
from mpreg_core.errors import MpregError
from mpreg_core.ids import NodeId
from mpreg_core.testing.report import NotConformingError
from mpreg_core.testing.subject import Pool, Subject, most_of

NODES = 5
TIMEOUT_S = 5.0
SLACK_S = 2.0
"""A proposal is answered at latest so long after its time-out."""


def proposals_are_decided(subject: Subject) -> None:
    """In a healthy pool a proposal commits, and every member learns of it."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed, loss=0.02)
        pool.world.run(5)
        token = pool.propose("n02", "decided", "value")
        pool.expect(lambda p=pool, t=token: p.outcome("n02", t) is not None, TIMEOUT_S + SLACK_S, "an answer")  # type: ignore[misc]
        _committed(pool, "n02", token)
        pool.expect(lambda p=pool: set(p.values("decided").values()) == {"value"}, 20, "the value at every member")  # type: ignore[misc]


def one_truth(subject: Subject) -> None:
    """Of proposals that conflict, every member sees the same ones committed, in the same order."""
    for seed in _seeds(subject):
        pool = subject.pool(NODES, seed, loss=0.05)
        pool.world.run(5)
        for number, node in enumerate(pool.ids):
            pool.propose(node, "truth", f"{node}-{number}")
            pool.world.run(0.002 * seed)
        pool.world.run(TIMEOUT_S + SLACK_S + 20)
        _agree(pool)
        if len(set(pool.values("truth").values())) != 1:
            raise NotConformingError("one value at every member", f"{pool.values('truth')}", seed)


def crashes_change_nothing(subject: Subject) -> None:
    """Members die and come back with their journals in the midst of proposals: what was committed stays."""
    for seed in _seeds(subject):
        pool = subject.pool(NODES, seed, loss=0.02)
        pool.world.run(5)
        committed: dict[str, str] = {}
        for round_ in range(4):
            victim, proposer = pool.ids[(seed + round_) % NODES], pool.ids[(seed + round_ + 2) % NODES]
            token = pool.propose(proposer, f"crash{round_}", f"v{round_}")
            pool.world.run(0.001 * ((seed * 7 + round_) % 10))
            _keep(pool)
            pool.world.crash(victim)
            pool.world.run(TIMEOUT_S + SLACK_S)
            outcome = pool.outcome(proposer, token)
            if isinstance(outcome, Decided) and outcome.status == "committed":
                committed[f"crash{round_}"] = f"v{round_}"
            pool.world.start(victim)
            pool.world.run(10)
        pool.world.run(20)
        _agree(pool)
        for key, value in committed.items():
            if set(pool.values(key).values()) != {value}:
                raise NotConformingError(f"the committed {key} = {value} everywhere", f"{pool.values(key)}", seed)


def a_minority_decides_nothing(subject: Subject) -> None:
    """Less than half answers in bounded time that it cannot, also when all others have died; the rest goes on."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed)
        pool.world.run(5)
        most = most_of(pool.ids)
        few = [node for node in pool.ids if node not in most]
        pool.world.network.partition(most)
        lonely, served = pool.propose(few[0], "few", 1), pool.propose(most[1], "most", 2)
        pool.world.run(TIMEOUT_S + SLACK_S)
        if pool.outcome(few[0], lonely) is None:
            raise NotConformingError(f"an answer {SLACK_S:g} s after the time-out", "none", seed)
        _not_committed(pool, few[0], lonely)
        _committed(pool, most[1], served)
        pool.world.run(60)  # long enough for the few to have failed the others
        again = pool.propose(few[0], "few", 3)
        pool.world.run(TIMEOUT_S + SLACK_S)
        _not_committed(pool, few[0], again)
        pool.world.network.heal()
        pool.expect(pool.is_whole, 120, "the pool whole again")
        last = pool.propose(few[0], "after", 4)
        pool.world.run(TIMEOUT_S + SLACK_S)
        _committed(pool, few[0], last)
        _agree(pool)


def a_restart_of_all_forgets_nothing(subject: Subject) -> None:
    """All members die at once and start with their journals: decisions are there, and new ones are made."""
    pool = subject.pool(NODES, subject.seeds[0])
    pool.world.run(5)
    token = pool.propose("n01", "restart", "before")
    pool.world.run(TIMEOUT_S)
    _committed(pool, "n01", token)
    _keep(pool)
    for node in pool.ids:
        pool.world.crash(node)
    pool.world.run(1)
    for node in pool.ids:
        pool.world.start(node)
    pool.expect(pool.is_whole, 60, "the pool whole again")
    pool.world.run(5)
    token = pool.propose("n02", "other", "after")
    pool.world.run(TIMEOUT_S + SLACK_S)
    _committed(pool, "n02", token)
    pool.world.run(10)
    if set(pool.values("restart").values()) != {"before"}:
        raise NotConformingError("what was committed before the restart", f"{pool.values('restart')}", pool.seed)
    _agree(pool)


def _seeds(subject: Subject) -> Sequence[int]:
    return range(1, 21) if subject.deep else (*subject.seeds, 3, 4, 5)


def _keep(pool: Pool) -> None:
    """Crashes forget a node's events: take what it saw over to the pool first."""
    for node in pool.ids:
        _history(pool).setdefault(node, []).extend(
            each.event for each in pool.world.nodes[node].events if isinstance(each.event, Decided)
        )
        pool.world.nodes[node].events.clear()


def _history(pool: Pool) -> dict[NodeId, list[Decided]]:
    history: dict[NodeId, list[Decided]] = pool.__dict__.setdefault("_decided", {})
    return history


def _decisions(pool: Pool) -> Iterator[tuple[NodeId, Decided]]:
    _keep(pool)
    for node, events in _history(pool).items():
        for event in events:
            if event.status == "committed":
                yield node, event


def _agree(pool: Pool) -> None:
    """One value per key and index, one fate per proposal."""
    by_place: dict[tuple[str, int], tuple[str, bytes]] = {}
    by_id: dict[str, bytes] = {}
    for node, made in _decisions(pool):
        place = (made.key, made.index)
        known = by_place.setdefault(place, (made.proposal, made.value))
        if made.index and known != (made.proposal, made.value):
            raise NotConformingError(f"one decision for {place}", f"{known} and, at {node}, {made.proposal}", pool.seed)
        if by_id.setdefault(made.proposal, made.value) != made.value:
            raise NotConformingError(f"one value for proposal {made.proposal}", "two", pool.seed)


def _committed(pool: Pool, at: NodeId, token: int) -> None:
    outcome = pool.outcome(at, token)
    if not isinstance(outcome, Decided) or outcome.status != "committed":
        raise NotConformingError(f"the proposal at {at} committed", _words(outcome), pool.seed)


def _not_committed(pool: Pool, at: NodeId, token: int) -> None:
    outcome = pool.outcome(at, token)
    if isinstance(outcome, Decided) and outcome.status == "committed":
        raise NotConformingError("no decision by a minority", f"{at} committed", pool.seed)


def _words(outcome: Decided | MpregError | None) -> str:
    return outcome.status if isinstance(outcome, Decided) else repr(outcome)
