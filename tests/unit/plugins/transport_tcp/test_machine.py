"""The decisions: admission, back-off, evidence, and when a connection is given up."""

from random import Random

import pytest

from mpreg_core import Endpoint
from mpreg_transport_tcp.machine import ENDPOINTS_MAX, Admission, Backoff, EvidenceLimiter, Watch

PEER = Endpoint("10.0.0.1", 8081)


def test_anyone_may_come_until_half_of_the_places_are_taken() -> None:
    admission = Admission(places=8, share=2)
    assert [admission.enter("a") for _ in range(5)] == [True, True, True, True, False]


def test_every_other_host_then_still_finds_its_share() -> None:
    admission = Admission(places=8, share=2)
    for _ in range(4):
        admission.enter("a")
    assert [admission.enter("b") for _ in range(3)] == [True, True, False]
    assert [admission.enter("c") for _ in range(3)] == [True, True, False]
    assert not admission.enter("d")


def test_a_connection_that_leaves_makes_room() -> None:
    admission = Admission(places=2, share=1)
    assert admission.enter("a")
    assert admission.enter("b")
    assert not admission.enter("c")
    admission.leave("a")
    assert admission.enter("c")


def test_waits_double_from_50_ms_to_5_s_and_are_cut_by_up_to_half() -> None:
    backoff = Backoff(Random(1))
    assert backoff.wait_s(PEER, 0.0) <= 0
    for attempt in range(12):
        backoff.failed(PEER, 100.0)
        whole = min(5.0, 0.05 * 2**attempt)
        assert whole / 2 <= backoff.wait_s(PEER, 100.0) <= whole
    assert backoff.wait_s(PEER, 105.1) <= 0


def test_a_success_makes_the_next_wait_short_again() -> None:
    backoff = Backoff(Random(1))
    for _ in range(8):
        backoff.failed(PEER, 0.0)
    backoff.succeeded(PEER)
    assert backoff.wait_s(PEER, 0.0) <= 0
    backoff.failed(PEER, 0.0)
    assert backoff.wait_s(PEER, 0.0) <= 0.05


def test_many_dead_endpoints_do_not_fill_the_memory() -> None:
    backoff, limiter = Backoff(Random(1)), EvidenceLimiter()
    for port in range(ENDPOINTS_MAX + 10):
        backoff.failed(Endpoint("h", port), 0.0)
        assert limiter.passes(Endpoint("h", port), "refused", 0.0) is (port < ENDPOINTS_MAX)
    assert backoff.wait_s(Endpoint("h", 9), 0.0) <= 0  # the oldest were let go
    assert backoff.wait_s(Endpoint("h", 10), 0.0) > 0
    assert limiter.passes(Endpoint("h", ENDPOINTS_MAX), "refused", 1.5)  # there is room again


def test_evidence_passes_once_a_second_for_each_kind_and_peer() -> None:
    limiter = EvidenceLimiter()
    rows = [
        (PEER, "refused", 0.0, True),
        (PEER, "refused", 0.5, False),
        (PEER, "reset", 0.5, True),
        (Endpoint("10.0.0.2", 8081), "refused", 0.5, True),
        (PEER, "refused", 1.0, True),
        (PEER, "refused", 1.9, False),
    ]
    assert [limiter.passes(peer, kind, now) for peer, kind, now, _ in rows] == [passes for *_, passes in rows]


Look = tuple[float, int, int, bool, str]  # when, frames in, writes, half a frame there -> verdict


@pytest.mark.parametrize(
    ("inbound", "looks"),
    [
        pytest.param(True, [(5, 0, 0, False, ""), (10, 0, 0, False, "late")], id="no first frame from who connected"),
        pytest.param(False, [(10, 0, 0, False, ""), (100, 0, 0, False, "idle")], id="who listens need not speak"),
        pytest.param(True, [(5, 1, 0, True, ""), (14, 1, 0, True, ""), (15, 1, 0, True, "late")], id="half a frame"),
        pytest.param(
            True, [(5, 1, 0, True, ""), (14, 2, 0, True, ""), (23, 3, 0, True, "")], id="a half frame at every look"
        ),
        pytest.param(True, [(5, 1, 0, True, ""), (15, 1, 7, True, "late")], id="answers do not excuse half a frame"),
        pytest.param(True, [(5, 1, 0, True, ""), (9, 2, 0, False, ""), (99, 2, 0, False, "")], id="then whole"),
        pytest.param(True, [(5, 1, 0, False, ""), (105, 1, 0, False, "idle")], id="idle"),
        pytest.param(False, [(90, 0, 1, False, ""), (180, 0, 2, False, "")], id="writes keep it"),
    ],
)
def test_a_connection_is_given_up_when(inbound: bool, looks: list[Look]) -> None:
    watch = Watch(0.0, timeout_s=10.0, idle_s=100.0, inbound=inbound)
    assert [watch.look(now, came, went, partial=half) for now, came, went, half, _ in looks] == [
        verdict for *_, verdict in looks
    ]
