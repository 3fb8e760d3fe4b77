"""Messages that are to arrive at least once do, whatever is cut, crashes or restarts on their way."""

import pytest

from mpreg_core.contracts.events import Published
from mpreg_core.errors import OverloadedError, StorageError
from mpreg_core.node import custody
from mpreg_core.node.custody import YOUNG_NS
from mpreg_core.node.custody_log import CUSTODY_JOURNAL
from mpreg_core.units import NS_PER_S

SETTLED_S = YOUNG_NS / NS_PER_S + 1
LONG_S = 25


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(hubs=2, clusters=2)
    made.world.run_until(made.complete, 10)
    made.world.run(SETTLED_S)
    return made


def subscribe(fed, node, pattern, queue=""):
    fed.world.command(node, lambda core: core.messages.subscribe(pattern, queue))
    fed.world.run(0.5)


def publish(fed, node, topic, payload=b"1", *, at_least_once=True):
    """Publish; gives a list that is filled once the message is safe."""
    safe = []

    def act(core):
        core.spread.publish(topic, payload, at_least_once=at_least_once)
        core.messages.custody.log.then(lambda: safe.append(True))

    fed.world.command(node, act)
    return safe


def is_refused(fed, node, topic):
    try:
        publish(fed, node, topic)
    except OverloadedError:
        return True
    return False


def came(fed, node):
    return [o.event.topic for o in fed.world.nodes[node].events if isinstance(o.event, Published)]


def chosen(fed, node):
    return [o.event.topic for o in fed.world.nodes[node].events if isinstance(o.event, Published) and o.event.chosen]


def kept(fed):
    """The nodes that have messages in custody, and how many."""
    return {node: len(each.core.messages.custody) for node, each in fed.world.nodes.items() if each.alive} | {}


def until(fed, condition, within_s):
    fed.world.run_until(condition, within_s)
    assert condition()


def nothing_kept(fed):
    return not any(kept(fed).values())


def cut_off(fed, region):
    """Apart from all others."""
    away = [node for node in fed.ids if f"-{region}" in node]
    fed.world.network.partition(away, [node for node in fed.ids if node not in away])


def test_it_arrives_once_where_nothing_is_wrong_and_nobody_keeps_it(fed):
    subscribe(fed, "c-eu-1-1", "orders.#")
    safe = publish(fed, "c-us-1-1", "orders.1")
    assert not safe, "its record is not durable yet"
    fed.world.run(1)
    assert safe
    assert came(fed, "c-eu-1-1") == ["orders.1"]
    assert {node for node, count in kept(fed).items() if count} == {"c-us-1-1"}, "the first node, for a moment"
    fed.world.run(2)
    assert nothing_kept(fed)


def test_what_nobody_wants_goes_nowhere_and_a_last_node_writes_nothing(fed):
    publish(fed, "c-us-1-1", "users.1")
    subscribe(fed, "c-eu-1-1", "orders.#")
    publish(fed, "c-us-1-1", "orders.1")
    fed.world.run(3)
    assert nothing_kept(fed)
    assert came(fed, "c-eu-1-1") == ["orders.1"]
    assert CUSTODY_JOURNAL not in fed.world.nodes["c-eu-1-1"].disk.journals
    assert CUSTODY_JOURNAL in fed.world.nodes["r-us"].disk.journals


def test_it_arrives_after_a_cut_that_costs_another_message(fed):
    subscribe(fed, "c-eu-1-1", "orders.#")
    cut_off(fed, "eu")
    publish(fed, "c-us-1-1", "orders.sure")
    publish(fed, "c-us-1-1", "orders.lost", at_least_once=False)
    fed.world.run(4)
    fed.world.network.heal()
    until(fed, lambda: "orders.sure" in came(fed, "c-eu-1-1"), LONG_S)
    fed.world.run(LONG_S)
    assert came(fed, "c-eu-1-1") == ["orders.sure"]
    assert nothing_kept(fed)


@pytest.mark.parametrize("crashed", ["c-us-1-1", "l-us-1", "r-us"])
def test_it_survives_the_crash_and_restart_of_whoever_has_it(fed, crashed):
    subscribe(fed, "c-eu-1-1", "orders.#")
    cut_off(fed, "eu")
    safe = publish(fed, "c-us-1-1", "orders.1")
    until(fed, lambda: safe, 1)
    fed.world.run(0 if crashed == "c-us-1-1" else 1)
    fed.world.crash(crashed)
    fed.world.run(1)
    fed.world.network.heal()
    fed.world.start(crashed)
    until(fed, lambda: "orders.1" in came(fed, "c-eu-1-1"), LONG_S)
    fed.world.run(LONG_S)
    assert nothing_kept(fed)


def test_a_queue_groups_message_goes_to_another_member_when_the_first_dies_with_it(fed):
    for node in ("c-eu-1-1", "c-eu-1-2"):
        subscribe(fed, node, "jobs.#", "workers")
    fed.world.network.block("l-eu-1", "c-eu-1-1")
    fed.world.network.block("l-eu-1", "c-eu-1-2")
    publish(fed, "c-us-1-1", "jobs.1")
    fed.world.run(0.5)
    (entry,) = [each for each in fed.world.nodes["l-eu-1"].core.messages.custody.entries() if each.kept.group]
    ((_, first),) = entry.waiting
    second = "c-eu-1-2" if first == "c-eu-1-1" else "c-eu-1-1"
    fed.world.crash(first)
    fed.world.network.heal()
    until(fed, lambda: chosen(fed, second), LONG_S)
    assert chosen(fed, second) == ["jobs.1"]
    fed.world.run(LONG_S)
    assert nothing_kept(fed)


def test_a_full_node_takes_no_more_and_those_before_it_wait(fed, monkeypatch):
    monkeypatch.setattr(custody, "CUSTODY_MESSAGES_MAX", 3)
    subscribe(fed, "c-eu-1-1", "orders.#")
    fed.world.network.block("r-us", "r-eu")  # r-eu is heard, so nobody takes it for dead
    refused = 0
    for number in range(20):
        refused += is_refused(fed, "c-us-1-1", f"orders.{number}")
        fed.world.run(0.2)
    assert (kept(fed)["r-us"], kept(fed)["l-us-1"], kept(fed)["c-us-1-1"], refused) == (3, 3, 3, 11)
    fed.world.network.heal()
    until(fed, lambda: nothing_kept(fed), 3 * LONG_S)
    assert sorted(came(fed, "c-eu-1-1")) == sorted(f"orders.{number}" for number in range(9))


def test_messages_for_the_dead_make_room_for_those_for_the_living(fed, monkeypatch):
    monkeypatch.setattr(custody, "CUSTODY_MESSAGES_MAX", 3)
    subscribe(fed, "c-eu-1-1", "orders.#")
    cut_off(fed, "eu")
    fed.world.run(10)
    for number in range(5):
        publish(fed, "c-us-1-1", f"orders.{number}")
        fed.world.run(0.2)
    assert kept(fed)["r-us"] == 3
    fed.world.network.heal()
    until(fed, lambda: nothing_kept(fed), 3 * LONG_S)
    assert sorted(came(fed, "c-eu-1-1")) == ["orders.2", "orders.3", "orders.4"]


def test_what_is_never_taken_on_is_given_up_and_counted(fed, monkeypatch):
    monkeypatch.setattr(custody, "CUSTODY_S_MAX", 20)
    subscribe(fed, "c-eu-1-1", "orders.#")
    cut_off(fed, "eu")
    publish(fed, "c-us-1-1", "orders.1")
    fed.world.run(3 * LONG_S)
    assert nothing_kept(fed)
    counted = [
        count for node in ("c-us-1-1", "l-us-1", "r-us")
        for (name, *_), count in fed.world.nodes[node].core.state.counters.items()
        if name == "mpreg_messages_expired_total"
    ]  # fmt: skip
    assert counted == [1]


def test_a_damaged_journal_stops_the_start_and_says_what_to_do(fed):
    with pytest.raises(StorageError, match="move the journal away"):
        fed.world.nodes["g"].core.messages.custody.restore([b"\xc1"])
