"""Lists of voters that follow each other: founding, changes, leaving, lost memories; and seeds of all that at once."""

from functools import partial
from typing import Any

import msgspec
import pytest

from mpreg_consensus_quorum.legacies import Legacies
from mpreg_consensus_quorum.messages import (
    VOTERS_KEY,
    Ballot,
    Cluster,
    Commit,
    Decision,
    Fetch,
    Handover,
    Legacy,
    Prepare,
    Roll,
    Stamp,
)
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_consensus_quorum.records import Promised, Voted
from mpreg_core import Address, Member, Proposal, Send

KEYS = ("a", "b")
CLUSTER = Cluster(0, "n0")


def voters(pool: Any, name: str) -> list[str]:
    return sorted(pool.nodes[name].machine._desk.electorate.ids)


def counts(pool: Any, ids: list[str], nodes: Any = None) -> bool:
    """True if all these nodes count these voters, and take part."""
    return all(
        voters(pool, name) == sorted(ids) and pool.nodes[name].machine.snapshot().ready for name in nodes or pool.nodes
    )


def decided(pool: Any, at: str, key: str = "k", value: bytes = b"v", timeout: float = 10) -> bool:
    name = pool.propose(at, key, value, timeout=timeout)
    return pool.run(timeout + 1, lambda: at in pool.committed_at(name))


def member(name: str, status: Any = "alive") -> Member:
    place = Address("h", consensus=1)
    return Member(id=name, incarnation=1, status=status, tier="local", region="eu", address=place, started_ms=1)


# founding


def test_a_member_alone_founds_and_decides(make_pool: Any) -> None:
    pool = make_pool(1, formed=False)
    assert pool.run(1, lambda: counts(pool, ["n0"]))
    assert decided(pool, "n0")


def test_members_that_start_together_make_one_list_of_all(make_pool: Any) -> None:
    pool = make_pool(7, formed=False)
    assert pool.run(3, lambda: counts(pool, list(pool.nodes)))
    assert len({process.machine.snapshot().epoch for process in pool.nodes.values()}) == 1
    assert decided(pool, "n6")
    pool.check()


def test_a_proposal_made_before_there_are_voters_is_decided(make_pool: Any) -> None:
    pool = make_pool(3, formed=False)
    assert decided(pool, "n2", timeout=3)


def test_no_more_vote_than_may(make_pool: Any) -> None:
    pool = make_pool(7, formed=False, options=QuorumOptions(voters_max=3))
    assert pool.run(5, lambda: len(voters(pool, "n0")) == 3)
    pool.run(10)
    assert all(len(voters(pool, name)) == 3 for name in pool.nodes)
    assert decided(pool, "n6")


def test_of_two_that_were_founded_apart_the_older_lives_on(make_pool: Any) -> None:
    pool = make_pool(6, formed=False)
    left, right = ["n0", "n1", "n2"], ["n3", "n4", "n5"]
    for side in (left, right):
        pool.set_voters(side, 1, side)
    pool.partition(left, right)
    assert pool.run(5, lambda: counts(pool, left, left) and counts(pool, right, right))
    assert decided(pool, "n0", "mine")
    pool.partition()
    pool.set_voters(pool.nodes, 2)
    assert pool.run(10, lambda: counts(pool, list(pool.nodes)))
    assert decided(pool, "n5")
    pool.run(2)
    assert {process.values["mine"] for process in pool.nodes.values()} == {b"v"}
    pool.check()


# changes


def test_the_voters_follow_whom_the_node_wants(make_pool: Any) -> None:
    pool = make_pool(5, voters=3)
    assert decided(pool, "n0", value=b"early")
    pool.set_voters(["n1", "n2", "n3", "n4"], 2)
    assert pool.run(3, lambda: counts(pool, ["n1", "n2", "n3", "n4"]))
    assert decided(pool, "n4", value=b"late")
    assert pool.checker.latest["k"] == 2
    pool.check()


def test_a_crowd_that_comes_later_waits_and_one_that_forms_a_pool_does_not(make_pool: Any) -> None:
    pool = make_pool(9, formed=False)
    first, early = ["n0", "n1", "n2"], ["n0", "n1", "n2", "n3"]
    pool.set_voters(first, 1)
    assert pool.run(3, lambda: counts(pool, first, first))
    pool.set_voters(early, 2)
    assert pool.run(3, lambda: counts(pool, early, early))
    pool.run(11)
    pool.set_voters(pool.nodes, 3)
    pool.run(55)
    assert counts(pool, early, early)
    assert pool.run(10, lambda: counts(pool, list(pool.nodes)))


def test_all_voters_may_change_at_once(make_pool: Any) -> None:
    pool = make_pool(6, voters=3)
    assert decided(pool, "n0", value=b"early")
    pool.set_voters(["n3", "n4", "n5"], 2)
    assert pool.run(3, lambda: counts(pool, ["n3", "n4", "n5"]))
    for name in ("n0", "n1", "n2"):
        pool.crash(name)
    assert decided(pool, "n3", value=b"late")
    assert pool.run(1, lambda: {pool.nodes[name].applied["k"] for name in ("n3", "n4", "n5")} == {2})
    pool.check()


def test_a_voter_that_comes_back_and_knows_nobody_yet_lets_nobody_go(make_pool: Any) -> None:
    """A process that starts sees itself first: that must not pass for the whole pool."""
    pool = make_pool(3)
    pool.run(1)
    pool.crash("n0")
    pool.alone = {"n0"}
    pool.start("n0")
    pool.run(5)
    assert counts(pool, list(pool.nodes))
    pool.alone = set()
    pool.step(pool.nodes["n0"], lambda m: m.on_members(pool.now_ns, [member("n1"), member("n2", "left")]))
    pool.set_voters(["n0", "n1"], 2)
    assert pool.run(5, lambda: counts(pool, ["n0", "n1"], ["n0", "n1"]))


def test_without_a_quorum_of_the_voters_there_is_no_change(make_pool: Any) -> None:
    pool = make_pool(3)
    for name in ("n1", "n2"):
        pool.crash(name)
    pool.set_voters(["n0"], 2)
    pool.run(30)
    assert voters(pool, "n0") == ["n0", "n1", "n2"]
    assert not decided(pool, "n0")
    pool.start("n1")
    assert pool.run(10, lambda: counts(pool, ["n0"], ["n0"]))


def test_what_was_voted_for_before_a_change_is_chosen_after_it(make_pool: Any) -> None:
    pool = make_pool(6, voters=3)
    pool.run(0.1)
    name = pool.propose("n0", value=b"first")
    held = [pool.nodes[each].machine._desk.ledger for each in ("n0", "n1", "n2")]
    assert pool.run(1, lambda: all(led.slots.get("k") is not None and led.slots["k"].accepted for led in held))
    pool.crash("n0")
    pool.set_voters(["n3", "n4", "n5"], 2, ["n1", "n2", "n3", "n4", "n5"])
    others = ["n3", "n4", "n5"]
    assert pool.run(10, lambda: counts(pool, others, others))
    later = pool.propose("n5", value=b"second")
    assert pool.run(10, lambda: "n5" in pool.committed_at(later))
    assert pool.checker.chosen == {("k", 1): name, ("k", 2): later}


@pytest.mark.parametrize("leavers", [1, 2, 4, 5])
def test_voters_that_leave_together_are_let_go_while_they_are_there(make_pool: Any, leavers: int) -> None:
    pool = make_pool(6)
    pool.run(0.5)
    going = sorted(pool.nodes)[6 - leavers :]
    staying = sorted(pool.nodes)[: 6 - leavers]
    pool.set_voters(staying, 2)
    assert not any(pool.nodes[name].machine.may_leave() for name in going)
    assert pool.run(1, lambda: all(pool.nodes[name].machine.may_leave() for name in going))
    for name in going:
        pool.crash(name)
    assert pool.run(1, lambda: counts(pool, staying, staying))
    assert decided(pool, "n0")
    pool.check()


# memories


def wipe(pool: Any, name: str) -> None:
    """A restart without the disk."""
    if pool.nodes[name].running:
        pool.crash(name)
    pool.nodes[name].records = []
    pool.start(name)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_voter_that_lost_its_memory_votes_again_in_the_next_list(make_pool: Any, size: int) -> None:
    pool = make_pool(size)
    assert decided(pool, "n0")
    pool.run(1)
    before = pool.nodes["n0"].machine.snapshot().epoch
    wipe(pool, "n1")
    pool.run(0.2)
    assert not pool.nodes["n1"].machine.snapshot().ready
    assert pool.run(10, lambda: counts(pool, list(pool.nodes)))
    assert pool.nodes["n1"].machine.snapshot().epoch > before
    assert pool.nodes["n1"].values == {"k": b"v"}
    assert decided(pool, "n1", value=b"w")
    pool.check()


def test_a_newcomer_that_restarts_before_it_votes_needs_no_other_list(make_pool: Any) -> None:
    """It remembers that it never voted: two of three must not need the third for that."""
    pool = make_pool(3, voters=2)
    pool.run(1)
    pool.set_voters(pool.nodes, 2)
    late = pool.nodes["n2"]
    assert pool.run(5, lambda: "n2" in voters(pool, "n0") and not late.machine.snapshot().ready)
    pool.crash("n2")
    pool.crash("n1")
    pool.start("n2")
    assert pool.run(5, lambda: late.machine.snapshot().ready)
    assert decided(pool, "n2")
    pool.check()


def test_when_all_lost_their_memory_they_found_anew(make_pool: Any) -> None:
    pool = make_pool(3)
    for name in pool.nodes:
        pool.crash(name)
        pool.nodes[name].records = []
    pool.checker.chosen.clear()
    for name in pool.nodes:
        pool.start(name)
    assert pool.run(5, lambda: counts(pool, list(pool.nodes)))


# seeds


def churn(pool: Any) -> None:
    """Voters come, go and are replaced, nodes crash and lose their disks one at a time, messages are lost."""
    rng, nodes = pool.rng, sorted(pool.nodes)
    pool.loss = rng.choice((0.0, 0.05, 0.2))
    pool.delay, pool.in_order = rng.choice(((0.001, 0.01), (0.01, 0.2))), rng.random() < 0.5
    pool.disk = rng.choice(((0.0002, 0.001), (0.001, 0.05)))

    def crash() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.crash(name)
            pool.after((0.01, rng.choice((0.1, 2.0))), lambda: pool.start(name))

    def cut() -> None:
        mixed = rng.sample(nodes, len(nodes))
        split = rng.randint(0, len(nodes))
        pool.partition(mixed[:split], mixed[split:])
        pool.after((0.1, 2.0), pool.partition)

    def want() -> None:
        pool.voters = type(pool.voters)(pool.voters.epoch + 1, tuple(sorted(rng.sample(nodes, rng.randint(1, 5)))))
        for name in nodes:
            pool.after((0.0, 1.0), partial(pool.set_voters, pool.voters.ids, pool.voters.epoch, [name]))

    def propose() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.propose(name, rng.choice(KEYS), b"%d" % rng.getrandbits(32), timeout=rng.choice((0.5, 3.0)))

    def read() -> None:
        name = rng.choice(nodes)
        if pool.nodes[name].running:
            pool.read(name)

    for act, count in ((crash, 8), (cut, 5), (want, 10), (propose, 40), (read, 8)):
        for _ in range(count):
            pool.after((0.0, 15.0), act)
    pool.run(15)


def churned(make_pool: Any, seed: int, **more: Any) -> Any:
    pool = make_pool(6, seed=seed, voters=3, options=QuorumOptions(retry_interval=0.3), **more)
    churn(pool)
    return pool


@pytest.mark.parametrize("block", range(6))
def test_whoever_votes_when_members_agree_and_all_go_on(make_pool: Any, block: int) -> None:
    changes = 0
    for seed in range(30 * block, 30 * block + 30):
        pool = churned(make_pool, seed)
        pool.check()
        pool.loss, pool.in_order = 0.0, True
        pool.delay, pool.disk = (0.001, 0.002), (0.0002, 0.001)
        pool.partition()
        pool.run(3)
        assert all(process.running for process in pool.nodes.values())
        ids = sorted(pool.nodes)[1:5]
        pool.set_voters(ids, pool.voters.epoch + 1)
        assert pool.run(20, partial(counts, pool, ids)), f"seed {seed}"
        assert decided(pool, "n5", "a", b"1", timeout=20), f"seed {seed}"
        read = pool.read("n0")
        assert pool.run(3, lambda pool=pool, read=read: pool.read_done(read) is not None), f"seed {seed}"
        assert pool.nodes["n0"].values["a"] == b"1", f"seed {seed}"
        changes += pool.nodes["n0"].machine.snapshot().epoch
        pool.check()
    assert changes > 100


def test_voters_that_forget_are_caught(make_pool: Any) -> None:
    def keeps(record: object) -> bool:
        return not isinstance(record, Voted | Promised)

    assert any(churned(make_pool, seed, keeps=keeps).checker.complaints for seed in range(200))


def test_voters_that_do_not_wait_for_those_before_are_caught(make_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Legacies, "are_enough", lambda self: True)
    assert any(churned(make_pool, seed).checker.complaints for seed in range(200))


def test_a_voter_tells_the_next_ones_only_once_it_votes_no_more_in_its_own_list(make_solo: Any) -> None:
    solo = make_solo()
    heir = Handover(Stamp(3, CLUSTER), 0, 0)
    assert [type(answer) for answer in solo.hear("a", heir)] == [Fetch]
    roll = Roll(("a", "b", "c"), (0, 0, 0), ("a", "b", "c", "d", "me"))
    proposal = Proposal("next", VOTERS_KEY, msgspec.msgpack.encode(roll), "a", 0, 1)
    solo.held = True
    commit = Commit(CLUSTER, Decision(2, proposal, 2, ("a", "b", "c"), ()), 1)
    assert not any(isinstance(answer, Legacy) for answer in solo.hear("a", commit))
    assert [type(each.message) for each in solo.sync() if isinstance(each, Send)] == [Legacy]
    prepare = Prepare(Stamp(2, CLUSTER), "k", 1, Ballot(1, "b", 1))
    assert [type(answer) for answer in solo.hear("b", prepare)] == [Commit]
