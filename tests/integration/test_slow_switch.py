"""The long lines of other tests are as long as they say, bring datagrams out of order, and lose what they are told."""

import socket
import time

import pytest
from namespaces import inside
from network_hosts import network_of
from slow_switch import Way

pytestmark = [pytest.mark.integration, pytest.mark.namespaces]

SENT = 200


@pytest.fixture(scope="module")
def hosts():
    with network_of(["here", "there"], slow=True) as hosts:
        yield hosts


@pytest.fixture
def pair(hosts):
    """A datagram socket at each host, connected to the other, over ways without delay."""
    made = []
    for name, other in (("here", "there"), ("there", "here")):
        with inside(hosts.of[name]):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((hosts.address(name), 5000))
        one.connect((hosts.address(other), 5000))
        one.settimeout(5)
        made.append(one)
    hosts.set_all_ways(Way())
    here, there = made
    here.send(b"hello")  # both kernels ask for the other's address first
    there.recv(10)
    there.send(b"hello")
    here.recv(10)
    yield here, there
    for one in made:
        one.close()


def crossed(sender, receiver, count=SENT):
    """Send datagrams with their numbers; gives the numbers as they come in, up to a silence."""
    for number in range(count):
        sender.send(b"%d" % number)
    receiver.settimeout(0.5)
    came = []
    while len(came) < count:
        try:
            came.append(int(receiver.recv(10)))
        except TimeoutError:
            break
    return came


def test_each_way_takes_its_own_time(hosts, pair):
    here, there = pair
    hosts.set_way("here", "there", Way(60))
    begun = time.monotonic()
    here.send(b"ask")
    there.recv(10)
    late_s = time.monotonic() - begun
    there.send(b"answer")
    here.recv(10)
    back_s = time.monotonic() - begun - late_s
    assert late_s >= 0.06
    assert back_s < 0.06


def test_a_connection_waits_for_both_ways(hosts):
    hosts.set_all_ways(Way(50))
    with inside(hosts.of["there"]):
        server = socket.create_server((hosts.address("there"), 5001))
    begun = time.monotonic()
    with inside(hosts.of["here"]), server, socket.create_connection((hosts.address("there"), 5001)):
        assert time.monotonic() - begun >= 0.1


def test_without_jitter_datagrams_come_in_order_and_with_it_they_do_not(hosts, pair):
    assert crossed(*pair) == list(range(SENT))
    hosts.set_way("here", "there", Way(5, jitter_ms=30))
    came = crossed(*pair)
    assert sorted(came) == list(range(SENT))
    assert came != sorted(came)


def test_a_share_is_lost(hosts, pair):
    hosts.set_way("here", "there", Way(loss=0.5))
    assert 0.3 * SENT < len(crossed(*pair)) < 0.7 * SENT
