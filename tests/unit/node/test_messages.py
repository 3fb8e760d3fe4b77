"""Messages go where somebody waits for them, in order, once; of a queue group one member gets each."""

from collections import Counter
from random import Random

import pytest

from mpreg_core.contracts.events import Published
from mpreg_core.limits import INTEREST_PATTERNS_MAX
from mpreg_core.node.interests import Filter, Local, record_of
from mpreg_core.node.messages import FRESH_NS, STRAIGHT_MAX
from mpreg_core.node.topics import InterestRecord, matches
from mpreg_core.units import NS_PER_S

SETTLED_S = FRESH_NS / NS_PER_S + 1


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(hubs=2, clusters=2)
    made.world.run_until(made.complete, 10)
    made.world.run(SETTLED_S)
    return made


def subscribe(fed, node, pattern, queue=""):
    tokens = []
    fed.world.command(node, lambda core: tokens.append(core.messages.subscribe(pattern, queue)))
    return tokens[0]


def publish(fed, node, topic, count=1):
    for number in range(count):
        fed.world.command(node, lambda core, number=number: core.spread.publish(topic, b"%d" % number))
    fed.world.run(1)


def came(fed, node):
    return [o.event for o in fed.world.nodes[node].events if isinstance(o.event, Published)]


def test_a_message_reaches_a_subscriber_in_another_region_and_no_place_without_one(fed):
    subscribe(fed, "c-eu-1-1", "orders.#")
    fed.world.run(0.5)
    publish(fed, "c-us-1-1", "orders.eu.created")
    assert [event.topic for event in came(fed, "c-eu-1-1")] == ["orders.eu.created"]
    reached = {node for node in fed.ids if came(fed, node)}
    assert reached == {"c-us-1-1", "l-us-1", "r-us", "r-eu", "l-eu-1", "c-eu-1-1"}, "r-us to r-eu, straight"


def test_what_nobody_wants_goes_nowhere(fed):
    subscribe(fed, "c-eu-1-1", "orders.#")
    fed.world.run(0.5)
    before = {node: fed.world.nodes[node].frames_sent for node in fed.ids}
    publish(fed, "c-us-1-1", "users.ann.login")
    assert {node for node in fed.ids if came(fed, node)} == {"c-us-1-1"}
    assert fed.world.nodes["c-us-1-1"].frames_sent - before["c-us-1-1"] < 40


def test_whoever_wants_no_more_gets_no_more(fed):
    token = subscribe(fed, "c-eu-1-1", "orders.#")
    fed.world.run(0.5)
    fed.world.command("c-eu-1-1", lambda core: core.messages.unsubscribe(token))
    fed.world.run(0.5)
    publish(fed, "c-us-1-1", "orders.eu")
    assert {node for node in fed.ids if came(fed, node)} == {"c-us-1-1"}


def test_wishes_do_not_live_on_between_two_hubs_of_a_region(federation):
    fed = federation()
    fed.grow(hubs=2)
    fed.add("r-us-2", "regional", "us", "g")
    fed.world.run_until(fed.complete, 20)
    fed.world.run(SETTLED_S)
    token = subscribe(fed, "c-us-1-1", "a.b")
    fed.world.run(1)
    publish(fed, "c-eu-1-1", "a.b")
    assert len(came(fed, "c-us-1-1")) == 1
    fed.world.command("c-us-1-1", lambda core: core.messages.unsubscribe(token))
    fed.world.run(2)
    for node in fed.ids:
        for stack in fed.world.nodes[node].core.state.stacks.values():
            assert all(not wants.topic("a.b") for wants in stack.wants.values()), node


def test_messages_of_a_publisher_come_in_their_order(fed):
    subscribe(fed, "c-eu-2-2", "n")
    fed.world.run(0.5)
    publish(fed, "c-us-1-1", "n", count=200)
    assert [event.payload for event in came(fed, "c-eu-2-2")] == [b"%d" % number for number in range(200)]


def test_where_many_want_it_gossip_brings_it_to_each_once(federation):
    fed = federation()
    fed.grow(regions=("us",), hubs=1, clusters=STRAIGHT_MAX + 5)
    fed.world.run_until(fed.complete, 10)
    fed.world.run(SETTLED_S)
    nodes = [node for node in fed.ids if node.startswith("c-")]
    for node in nodes:
        subscribe(fed, node, "news")
    fed.world.run(0.5)
    publish(fed, nodes[0], "news", count=20)
    assert {node: len(came(fed, node)) for node in nodes} == dict.fromkeys(nodes, 20)


def test_a_node_that_has_just_come_reaches_all_that_want_its_messages(fed):
    subscribe(fed, "c-eu-1-1", "hello")
    fed.world.run(0.5)
    fed.add("c-late", "cluster", "us", "l-us-1")
    fed.world.run_until(lambda: fed.world.nodes["c-late"].core.state.life == "ready", 5)
    publish(fed, "c-late", "hello")
    assert len(came(fed, "c-eu-1-1")) == 1


def chosen(fed, node):
    return [event.payload for event in came(fed, node) if event.chosen]


def test_a_queue_group_s_member_that_subscribed_before_it_had_joined_gets_messages(fed):
    fed.add("c-late", "cluster", "us", "l-late")
    subscribe(fed, "c-late", "jobs.*", "workers")
    fed.world.run(2)
    fed.add("l-late", "local", "us", "r-us")
    fed.world.run_until(lambda: fed.world.nodes["c-late"].core.state.life == "ready", 20)
    fed.world.run(SETTLED_S)
    publish(fed, "c-eu-1-1", "jobs.mail")
    assert chosen(fed, "c-late") == [b"0"]


def test_of_a_queue_group_one_member_gets_each_message_wherever_they_are(fed):
    members = ["c-us-2-1", "c-eu-1-1", "c-eu-2-2"]
    for node in members:
        subscribe(fed, node, "jobs.*", "workers")
    subscribe(fed, "c-us-2-2", "jobs.#")
    fed.world.run(0.5)
    publish(fed, "c-us-1-1", "jobs.mail", count=300)
    got = Counter(payload for node in members for payload in chosen(fed, node))
    assert got == Counter(b"%d" % number for number in range(300))
    assert all(len(chosen(fed, node)) > 30 for node in members)
    assert len(came(fed, "c-us-2-2")) == 300


def test_a_member_of_the_group_that_is_here_is_served_first_and_in_turn(fed):
    here = [subscribe(fed, "c-us-1-1", "jobs.*", "workers") for _ in range(2)]
    subscribe(fed, "c-eu-1-1", "jobs.*", "workers")
    fed.world.run(0.5)
    publish(fed, "c-us-1-1", "jobs.mail", count=10)
    assert Counter(token for event in came(fed, "c-us-1-1") for token in event.chosen) == dict.fromkeys(here, 5)
    assert not chosen(fed, "c-eu-1-1")


def test_two_groups_and_a_plain_subscriber_get_a_message_each(fed):
    subscribe(fed, "c-eu-1-1", "jobs.*", "a")
    subscribe(fed, "c-eu-1-1", "jobs.#", "b")
    subscribe(fed, "c-eu-1-2", "jobs.mail")
    fed.world.run(0.5)
    publish(fed, "c-us-1-1", "jobs.mail")
    assert [len(event.chosen) for event in came(fed, "c-eu-1-1")] == [2]
    assert [event.chosen for event in came(fed, "c-eu-1-2")] == [()]


def test_a_group_is_wanted_until_its_last_member_is_gone():
    local = Local()
    first, second, plain = local.add("jobs.*", "w"), local.add("jobs.*", "w"), local.add("jobs.*", "")
    local.remove(first)
    assert record_of("n", 1, 1, local, ()).groups == (("jobs.*", "w"),)
    local.remove(second)
    assert record_of("n", 1, 1, local, ()) == InterestRecord("n", 1, 1, ("jobs.*",))
    local.remove(plain)
    assert record_of("n", 1, 1, local, ()) == InterestRecord("n", 1, 1)
    assert (len(local), local.choose("w", "jobs.mail")) == (0, None)


def test_a_filter_stands_for_many_patterns_and_lets_few_others_pass():
    rng = Random(1)
    local = Local()
    for number in range(5_000):
        local.add(f"orders.{rng.randrange(10**6)}.{number % 7}" + rng.choice(("", ".*", ".#")), "")
    record = record_of("n", 1, 1, local, ())
    assert record.patterns == ()
    filter_ = Filter(record.bits)
    for pattern in list(local.patterns)[:500]:
        topic = pattern.replace("*", "x").replace("#", "y.z")
        assert matches(pattern, topic)
        assert filter_.may_want(topic)
    strangers = [f"orders.{10**6 + rng.randrange(10**6)}.{number}" for number in range(5_000)]
    assert sum(map(filter_.may_want, strangers)) / len(strangers) < 0.03


def test_few_patterns_are_named_and_filters_of_others_are_merged():
    local = Local()
    for number in range(INTEREST_PATTERNS_MAX):
        local.add(f"p{number}", "")
    assert len(record_of("n", 1, 1, local, ()).patterns) == INTEREST_PATTERNS_MAX
    beyond = Filter()
    beyond.add("far.#")
    merged = record_of("n", 1, 1, local, [InterestRecord("m", 1, 1, bits=beyond.as_bytes())])
    assert Filter(merged.bits).may_want("far.away")
    assert Filter(merged.bits).may_want("p3")
    assert not Filter(merged.bits).may_want("near")
