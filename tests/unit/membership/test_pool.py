"""Which record wins: incarnation, then gravity; and what is said of this node is refuted."""

import pytest
from msgspec.structs import replace

from mpreg_core.contracts.events import Verdict
from mpreg_core.contracts.members import Address, Member
from mpreg_core.limits import INCARNATION_STEP_MAX, MEMBERS_PER_POOL_MAX, REAP_AFTER_NS
from mpreg_core.membership import pool as module
from mpreg_core.membership.pool import UNCHANGED, PoolTable


def member(name="b", incarnation=1, status="alive", started_ms=5, **more):
    address = Address(more.pop("host", name), 1, 2, 3, 4)
    return Member(
        id=name, incarnation=incarnation, status=status, tier="local", region="us", address=address,
        started_ms=started_ms, **more,
    )  # fmt: skip


@pytest.fixture
def table():
    table = PoolTable("a")
    table.set_own(0, member("a", 3))
    table.merge(0, member("b", 1), "hello")
    return table


@pytest.mark.parametrize(
    ("held", "new", "wins"),
    [
        ((1, "alive"), (1, "alive"), False),
        ((1, "alive"), (1, "suspect"), True),
        ((1, "suspect"), (1, "alive"), False),
        ((1, "suspect"), (2, "alive"), True),
        ((1, "suspect"), (1, "failed"), True),
        ((2, "alive"), (1, "failed"), False),
        ((1, "failed"), (1, "left"), True),
        ((1, "left"), (1, "failed"), False),
        ((1, "left"), (2, "alive"), True),
        ((1, "alive"), (2 + INCARNATION_STEP_MAX, "failed"), False),
    ],
)
def test_the_higher_incarnation_wins_then_the_graver_status(held, new, wins):
    table = PoolTable("a")
    table.merge(0, member("b", *held), "x")
    outcome = table.merge(1, member("b", *new), "x")
    assert (outcome.change is not None) is wins
    assert (table.member("b").incarnation, table.member("b").status) == (new if wins else held)


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (None, (1, "alive"), "joined"),
        ((1, "alive"), (1, "suspect"), "suspect"),
        ((1, "suspect"), (2, "alive"), "refuted"),
        ((1, "failed"), (2, "alive"), "recovered"),
        ((1, "left"), (2, "alive"), "joined"),
        ((1, "alive"), (2, "alive"), "updated"),
        ((1, "alive"), (1, "left"), "left"),
    ],
)
def test_a_change_has_the_name_of_what_happened(before, after, name):
    table = PoolTable("a")
    if before:
        table.merge(0, member("b", *before), "x")
    assert table.merge(1, member("b", *after), "x").change.change == name


def test_an_accusation_of_this_node_is_refuted_above_it(table):
    assert table.merge(1, member("a", 7, "failed"), "gossip").refute == 7
    assert table.merge(1, member("a", 2, "failed"), "gossip") is UNCHANGED
    assert table.conclude(1, Verdict("a", "suspect", 3, "probe", "b")).refute == 3
    assert table.conclude(1, Verdict("a", "suspect", 2, "probe", "b")) is UNCHANGED
    assert table.member("a").status == "alive"


def test_a_verdict_about_another_incarnation_counts_for_nothing(table):
    assert table.conclude(1, Verdict("b", "failed", 0, "probe")) is UNCHANGED
    assert table.conclude(1, Verdict("b", "failed", 2, "probe")) is UNCHANGED
    assert table.conclude(1, Verdict("b", "failed", 1, "probe")).change.change == "failed"
    assert table.conclude(1, Verdict("nobody", "failed", 1, "probe")) is UNCHANGED


def test_an_older_process_keeps_the_id_and_the_younger_one_is_refused(table):
    twin = member("b", 9, started_ms=6, host="elsewhere")
    outcome = table.merge(1, twin, "gossip")
    assert (outcome.change, outcome.conflict.kept, outcome.conflict.refused) == (None, "b:2", "elsewhere:2")
    older = member("b", 9, started_ms=4, host="elsewhere")
    outcome = table.merge(1, older, "gossip")
    assert outcome.conflict.kept == "elsewhere:2"
    assert table.member("b").address.host == "elsewhere"


def test_a_restart_elsewhere_after_a_failure_is_no_conflict(table):
    table.conclude(1, Verdict("b", "failed", 1, "probe"))
    outcome = table.merge(2, member("b", 2, started_ms=9, host="elsewhere"), "hello")
    assert (outcome.conflict, outcome.change.change) == (None, "recovered")


@pytest.mark.parametrize(
    "forged",
    [
        member("no spaces"),
        member("c" * 64),
        member(host=""),
        replace(member("c"), region="../.."),
        replace(member("c"), incarnation=-1),
        replace(member("c"), tags={str(number): "" for number in range(17)}),
        replace(member("c"), tags={"k": "v" * 200}),
        replace(member("c"), address=Address("c", 1, 70_000)),
    ],
)
def test_a_record_that_is_not_credible_is_counted_and_changes_nothing(table, forged):
    before = len(table)
    assert table.merge(1, forged, "gossip") is UNCHANGED
    assert (len(table), table.rejected) == (before, 1)


def test_a_flood_of_members_stops_at_the_bound(table, monkeypatch):
    monkeypatch.setattr(module, "MEMBERS_PER_POOL_MAX", 10)
    for number in range(50):
        table.merge(1, member(f"m{number}"), "gossip")
    assert len(table) == 10 < MEMBERS_PER_POOL_MAX
    assert table.rejected == 42


def test_the_gone_are_forgotten_after_a_day_and_the_present_never(table):
    table.merge(1, member("c", 1, "left"), "gossip")
    table.conclude(1, Verdict("b", "failed", 1, "probe"))
    assert table.reap(REAP_AFTER_NS) == []
    assert table.reap(REAP_AFTER_NS + 1) == ["b", "c"]
    assert [entry.member.id for entry in table] == ["a"]
