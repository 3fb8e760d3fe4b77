"""Safety whatever happens, and progress once it stops happening: seeds of crashes, partitions, loss and slow disks."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from mpreg_consensus_quorum.messages import Commit
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_consensus_quorum.records import Promised, Voted
from mpreg_core import Proposal

CHAOS_S = 12.0
KEYS = ("a", "b")


def wreck(pool: Any) -> None:
    """Faults and clients at random times for `CHAOS_S`."""
    rng, nodes = pool.rng, sorted(pool.nodes)
    pool.loss, pool.doubled, pool.in_order = rng.choice((0.0, 0.02, 0.1)), rng.choice((0.0, 0.1)), rng.random() < 0.5
    pool.delay = rng.choice(((0.001, 0.002), (0.001, 0.05), (0.01, 0.3)))
    pool.disk = rng.choice(((0.0002, 0.001), (0.001, 0.05), (0.0, 0.4)))

    def crash() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.crash(name)
            pool.after((0.01, rng.choice((0.1, 3.0))), lambda: pool.start(name))

    def cut() -> None:
        mixed = rng.sample(nodes, len(nodes))
        split = rng.randint(0, len(nodes))
        pool.partition(mixed[:split], mixed[split:])
        if rng.random() < 0.3:  # one way only
            pool.cut = {pair for pair in pool.cut if pair[0] in mixed[:split]}

    def storm() -> None:
        pool.loss = rng.choice((0.0, 0.1, 0.4, 0.7))

    def propose() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.propose(name, rng.choice(KEYS), b"%d" % rng.getrandbits(32), timeout=rng.choice((0.2, 1.0, 8.0)))
            if rng.random() < 0.3:  # a rival at almost the same time
                pool.after((0.0, 0.1), propose)

    def read() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.read(name)

    def vote() -> None:
        if pool.checker.instances or pool._proposals:
            pool.vote(rng.choice(nodes), f"n{rng.randrange(len(nodes))}-{rng.randint(1, 30)}", rng.random() < 0.5)

    for act, count in ((crash, 16), (cut, 12), (storm, 8), (propose, 30), (read, 8), (vote, 4)):
        for _ in range(count):
            pool.after((0.0, CHAOS_S), act)
    pool.run(CHAOS_S)


def mend(pool: Any) -> None:
    """All faults end: everyone runs, and reaches everyone."""
    pool.loss, pool.doubled, pool.cut, pool.in_order = 0.0, 0.0, set(), True
    pool.delay, pool.disk = (0.001, 0.002), (0.0002, 0.001)
    pool.run(4)  # what crashed has been restarted by then
    assert all(process.running for process in pool.nodes.values())


def validate(proposal: Proposal) -> bool:
    """A policy that refuses one in eight."""
    return int(proposal.value) % 8 != 0


def chaos(make_pool: Any, seed: int, *, keeps: Callable[[object], bool] | None = None) -> Any:
    size = (3, 4, 5, 7)[seed % 4]
    options = QuorumOptions(threshold=(0.6, 0.5, 0.7)[seed % 3], retry_interval=0.3)
    policy = validate if seed % 5 == 0 else None
    pool = make_pool(size, seed=seed, voters=max(3, size - seed % 2), options=options, validate=policy, keeps=keeps)
    wreck(pool)
    return pool


def is_everywhere(pool: Any, proposals: Iterable[str], nodes: Iterable[str]) -> bool:
    """True if all these nodes were told that all these proposals are committed."""
    return all(set(nodes) <= set(pool.committed_at(name)) for name in proposals)


def has_answer(pool: Any, read: str) -> bool:
    return pool.read_done(read) is not None


@pytest.mark.parametrize("block", range(10))
def test_no_fault_makes_members_disagree_and_all_go_on_when_faults_end(make_pool: Any, block: int) -> None:
    for seed in range(30 * block, 30 * block + 30):
        pool = chaos(make_pool, seed)
        pool.check()
        mend(pool)
        last = [pool.propose(pool.rng.choice(sorted(pool.nodes)), key, b"1", timeout=30) for key in KEYS]
        assert pool.run(25, partial(is_everywhere, pool, last, pool.nodes)), f"seed {seed}"
        read = pool.read("n0")
        assert pool.run(2, partial(has_answer, pool, read)), f"seed {seed}"
        assert pool.read_done(read).ok, f"seed {seed}"
        assert pool.nodes["n0"].values == dict.fromkeys(KEYS, b"1"), f"seed {seed}"
        pool.check()


def haggle(pool: Any) -> None:
    """Many rivals for one instance: no decision is ever told, half of all messages are lost, voters come and go."""
    rng, nodes = pool.rng, sorted(pool.nodes)
    pool.lost, pool.loss, pool.delay = (Commit,), rng.choice((0.3, 0.4, 0.5)), rng.choice(((0.001, 0.05), (0.001, 0.3)))
    pool.in_order = False

    def crash() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.crash(name)
            pool.after((0.01, 0.1), lambda: pool.start(name))

    def propose() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running and not pool.nodes[name].applied:
            pool.propose(name, "k", b"1", timeout=0.5)

    for act, count in ((crash, 40), (propose, 60)):
        for _ in range(count):
            pool.after((0.0, 10.0), act)
    pool.run(12)


def haggled(make_pool: Any, seed: int, *, keeps: Callable[[object], bool] | None = None) -> Any:
    pool = make_pool(3 + seed % 3, seed=seed, options=QuorumOptions(retry_interval=0.2), keeps=keeps)
    haggle(pool)
    return pool


def test_all_who_find_a_decision_find_the_same(make_pool: Any) -> None:
    found = 0
    for seed in range(100):
        pool = haggled(make_pool, seed)
        pool.check()
        found += sum(bool(process.applied) for process in pool.nodes.values()) > 1
    assert found > 30


@pytest.mark.parametrize("forgotten", [(Voted, Promised), (Voted,)], ids=["all", "votes"])
def test_a_voter_that_forgets_is_caught(make_pool: Any, forgotten: tuple[type, ...]) -> None:
    """The same seeds, but a restart loses what a voter made durable: the checker finds members that disagree."""

    def keeps(record: object) -> bool:
        return not isinstance(record, forgotten)

    assert any(haggled(make_pool, seed, keeps=keeps).checker.complaints for seed in range(100))
