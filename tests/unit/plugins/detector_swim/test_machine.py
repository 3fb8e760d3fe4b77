"""One `swim` machine, input by input."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
import pytest

from mpreg_core import Effect, Emit, Member, RoundTrip, Send, StrategyContext, Verdict, ns
from mpreg_core.limits import INCARNATION_STEP_MAX
from mpreg_detector_swim.machine import Swim
from mpreg_detector_swim.messages import (
    ALIVE,
    FAILED,
    SUSPECT,
    Ack,
    Nack,
    News,
    NotMe,
    Ping,
    PingRequest,
    Update,
)
from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.plugin import SPEC

MakeMember = Callable[..., Member]


class Lone:
    """A machine called `me` among `n0..`, driven by hand; every call's effects end up in `effects`."""

    def __init__(self, make_member: MakeMember, others: int = 4, **options: Any) -> None:
        self.member = make_member
        self.now_ns = 0
        context = StrategyContext(make_member("me"), "local:hub", "local", Random(1), 0)
        self.machine = Swim(context, SwimOptions(**options))
        self.effects: list[Effect] = []
        self.members(make_member("me"), *(make_member(f"n{i}") for i in range(others)))

    def take(self, effects: Sequence[Effect]) -> list[Effect]:
        self.effects = list(effects)
        return self.effects

    def members(self, *members: Member) -> list[Effect]:
        return self.take(self.machine.on_members(self.now_ns, members))

    def hears(self, sender: str, message: Any) -> list[Effect]:
        return self.take(self.machine.on_message(self.now_ns, sender, message))

    def evidence(self, peer: str, evidence: Any) -> list[Effect]:
        return self.take(self.machine.on_evidence(self.now_ns, peer, evidence))

    def due(self) -> list[Effect]:
        """Go on to the next deadline."""
        deadline_ns = self.machine.next_deadline()
        assert deadline_ns is not None
        self.now_ns = max(self.now_ns, deadline_ns)
        return self.take(self.machine.on_deadline(self.now_ns))

    def until(self, kind: type, answering: bool = False) -> Any:
        """Go on until a message of a kind is sent; gives its Send. The others answer, or keep silent."""
        for _ in range(100):
            self.due()
            if found := [send for send in self.sends() if isinstance(send.message, kind)]:
                return found[0]
            if answering:
                self.answer()
        raise AssertionError(f"no {kind.__name__} was sent")

    def answer(self) -> None:
        for send in self.sends():
            if isinstance(send.message, Ping):
                self.hears(send.to[0], Ack(send.message.seq, send.message.incarnation))

    def sends(self) -> list[Send]:
        return [effect for effect in self.effects if isinstance(effect, Send)]

    def verdicts(self) -> list[Verdict]:
        return [e.event for e in self.effects if isinstance(e, Emit) and isinstance(e.event, Verdict)]

    def until_suspect(self) -> Verdict:
        for _ in range(100):
            self.due()
            if found := [v for v in self.verdicts() if v.status == "suspect"]:
                return found[0]
        raise AssertionError("nobody was suspected")


@pytest.fixture
def lone(make_member: MakeMember) -> Lone:
    return Lone(make_member)


# answering


def test_a_ping_is_answered_on_its_own_lane(lone: Lone) -> None:
    assert lone.hears("n0", Ping(7, "me", 1)) == [Send(("n0",), Ack(7, 1))]
    assert lone.hears("n0", Ping(8, "me", 1, stream=True)) == [Send(("n0",), Ack(8, 1, True), "stream")]


def test_a_ping_for_another_process_at_this_address_is_answered_by_who_is_here(lone: Lone) -> None:
    assert lone.hears("n0", Ping(7, "gone", 3)) == [Send(("n0",), NotMe(7))]


def test_a_stranger_gets_no_answer_and_is_counted(lone: Lone) -> None:
    assert lone.hears("nobody", Ping(7, "me", 1)) == []
    assert lone.machine.snapshot().counts["strangers"] == 1


def test_a_ping_that_knows_a_later_incarnation_makes_this_node_refute_it(lone: Lone) -> None:
    lone.hears("n0", Ping(7, "me", 5))
    assert lone.verdicts() == [Verdict("me", "suspect", 5, "gossip", "n0")]
    assert lone.members(lone.member("me", 6)) == [Send(("n0",), News((Update("me", ALIVE, 6, "me"),)))]


# probing


def test_a_direct_ack_gives_a_round_trip(lone: Lone) -> None:
    ping = lone.until(Ping)
    lone.now_ns += ns(0.012)
    lone.hears(ping.to[0], Ack(ping.message.seq, 1))
    assert lone.effects == [Emit(RoundTrip(ping.to[0], ns(0.012)))]
    lone.hears(ping.to[0], Ack(ping.message.seq, 1))
    assert lone.effects == []


def test_a_ping_names_its_target_and_the_incarnation_known(lone: Lone) -> None:
    lone.members(*(lone.member(f"n{i}", 10 + i) for i in range(4)))
    send = lone.until(Ping)
    assert send.to == (send.message.target,)
    assert send.message.incarnation == 10 + int(send.message.target[1:])


def test_without_an_ack_helpers_are_asked_and_the_stream_is_tried(lone: Lone) -> None:
    ping = lone.until(Ping)
    started_ns = lone.now_ns
    request = lone.until(PingRequest)
    assert lone.now_ns == started_ns + ns(0.5)
    assert len(request.to) == 3
    assert ping.to[0] not in request.to
    assert request.message.seq == ping.message.seq
    (stream,) = [s for s in lone.sends() if isinstance(s.message, Ping)]
    assert (stream.to, stream.lane, stream.message.stream) == (ping.to, "stream", True)


def test_an_ack_by_a_helper_or_by_stream_ends_the_probe(lone: Lone) -> None:
    for by_stream in (False, True):
        request = lone.until(PingRequest, answering=False)
        sender = request.message.target if by_stream else request.to[0]
        lone.hears(sender, Ack(request.message.seq, 1, by_stream))
        assert lone.effects == []  # no round trip: it is not known which ping was answered
        for _ in range(3):
            lone.due()
            assert lone.verdicts() == []
            lone.answer()
    counts = lone.machine.snapshot().counts
    assert (counts["acks_indirect"], counts["acks_by_stream"]) == (1, 1)


def test_an_ack_from_one_who_was_not_asked_ends_nothing(lone: Lone) -> None:
    ping = lone.until(Ping)
    other = next(f"n{i}" for i in range(4) if f"n{i}" != ping.to[0])
    lone.hears(other, Ack(ping.message.seq, 1))
    assert lone.machine.snapshot().probes_open == 1
    assert lone.machine.snapshot().counts["acks_unexpected"] == 1


def test_a_silent_member_is_suspected_after_two_timeouts_and_others_are_asked(lone: Lone) -> None:
    ping = lone.until(Ping)
    started_ns = lone.now_ns
    verdict = lone.until_suspect()
    assert verdict == Verdict(ping.to[0], "suspect", 1, "probe", "me")
    assert lone.now_ns == started_ns + ns(1.0)
    (news,) = [s for s in lone.sends() if isinstance(s.message, News)]
    assert news.message.updates == (Update(ping.to[0], SUSPECT, 1, "me"),)
    assert ping.to[0] not in news.to


def test_who_is_asked_for_a_second_opinion_probes_out_of_turn_and_reports_a_failure(lone: Lone) -> None:
    suspicion = Update("n3", SUSPECT, 1, "n0")
    lone.hears("n0", News((suspicion,)))
    assert lone.verdicts() == [Verdict("n3", "suspect", 1, "gossip", "n0")]
    (ping,) = lone.sends()
    assert ping.to == ("n3",)
    assert ping.message.updates[0] == suspicion
    report = None
    for _ in range(20):
        lone.due()
        for send in lone.sends():
            if isinstance(send.message, News) and send.to == ("n0",):
                report = send.message
    assert report == News((Update("n3", SUSPECT, 1, "me"),))


def test_a_suspicion_passed_on_asks_for_no_second_opinion(lone: Lone) -> None:
    lone.hears("n0", News((Update("n3", SUSPECT, 1, "n1"),)))
    assert lone.sends() == []


def test_two_who_suspect_the_same_member_do_not_ask_each_other_for_ever(lone: Lone) -> None:
    suspect = lone.until_suspect().peer
    other = next(f"n{i}" for i in range(4) if f"n{i}" != suspect)
    assert lone.hears(other, News((Update(suspect, SUSPECT, 1, other),))) == []


def test_a_probe_pings_again_when_its_members_turn_comes_before_the_timeout(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=1, probe_interval=2.0, probe_timeout=5.0)
    pings = []
    while len(pings) < 3:
        lone.due()
        pings += [s.message for s in lone.sends() if isinstance(s.message, Ping)]
    assert len({ping.seq for ping in pings}) == 1
    lone.hears("n0", Ack(pings[0].seq, 1))
    assert lone.effects == []
    assert lone.machine.snapshot().probes_open == 0


def test_probes_of_several_members_overlap(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=9, probe_interval=2.0, probe_timeout=5.0)
    while lone.now_ns < ns(9):
        lone.due()
    assert lone.machine.snapshot().probes_open >= 4


# helping


def test_a_helper_passes_the_ack_on_under_the_askers_number(lone: Lone) -> None:
    (ping,) = [e for e in lone.hears("n0", PingRequest(77, "n2", 1)) if isinstance(e, Send)]
    assert (ping.to, ping.message.target) == (("n2",), "n2")
    assert lone.hears("n1", Ack(ping.message.seq, 1)) == []  # not from whom it was sent to
    assert lone.hears("n2", Ack(ping.message.seq, 4)) == [Send(("n0",), Ack(77, 4))]


def test_a_helper_that_gets_no_ack_says_so_before_the_asker_gives_up(lone: Lone) -> None:
    lone.hears("n0", PingRequest(77, "n2", 1))
    nack = lone.until(Nack, answering=True)
    assert lone.now_ns == ns(0.4)
    assert (nack.to, nack.message) == (("n0",), Nack(77))


def test_a_helper_that_does_not_know_the_member_says_so_at_once(lone: Lone) -> None:
    assert lone.hears("n0", PingRequest(77, "gone", 1)) == [Send(("n0",), Nack(77))]


@pytest.mark.parametrize(("nacks", "awareness"), [(0, 3), (1, 2), (3, 0)])
def test_helpers_that_keep_silent_lower_the_own_fitness(lone: Lone, nacks: int, awareness: int) -> None:
    request = lone.until(PingRequest)
    for helper in request.to[:nacks]:
        lone.hears(helper, Nack(request.message.seq))
    lone.until_suspect()
    assert lone.machine.snapshot().awareness == awareness


# suspicion and refutation


def test_a_suspect_that_keeps_silent_is_convicted_when_its_time_is_up(lone: Lone) -> None:
    lone.members(lone.member("n3", 1, "suspect"))
    while not any(v.peer == "n3" for v in lone.verdicts()):
        lone.due()
    assert lone.verdicts()[0].status == "failed"
    assert lone.now_ns <= ns(4.0)


def test_a_refuted_suspicion_is_withdrawn(lone: Lone) -> None:
    lone.hears("n0", Ping(1, "me", 1, updates=(Update("n3", SUSPECT, 1, "n0"),)))
    assert lone.machine.snapshot().suspects == 1
    lone.hears("n1", Ping(1, "me", 1, updates=(Update("n3", ALIVE, 2, "n3"),)))
    assert lone.verdicts() == [Verdict("n3", "alive", 2, "gossip", "n3")]
    snapshot = lone.machine.snapshot()
    assert (snapshot.suspects, snapshot.withdrawn) == (0, 1)


def test_every_message_to_a_suspect_tells_it_so(lone: Lone) -> None:
    lone.hears("n0", News((Update("n3", SUSPECT, 1, "n0"),)))
    for message in (Ping(5, "me", 1), PingRequest(6, "n3", 1)):
        lone.hears("n3" if isinstance(message, Ping) else "n1", message)
        assert lone.sends()[-1].message.updates[0] == Update("n3", SUSPECT, 1, "n0")


def test_an_accused_node_says_so_to_its_table_and_the_refutation_to_its_accusers(lone: Lone) -> None:
    lone.hears("n0", Ping(5, "me", 1, updates=(Update("me", SUSPECT, 1, "n2"),)))
    assert lone.verdicts() == [Verdict("me", "suspect", 1, "gossip", "n2")]
    assert lone.machine.snapshot().awareness == 1
    assert lone.members(lone.member("me", 2)) == [Send(("n0",), News((Update("me", ALIVE, 2, "me"),)))]


def test_an_accusation_that_was_refuted_before_is_answered_by_the_refutation(lone: Lone) -> None:
    lone.members(lone.member("me", 4))
    for i in range(20):  # the refutation has been sent as often as it may
        lone.hears("n1", Ping(i, "me", 4))
    assert lone.sends() == [Send(("n1",), Ack(19, 4))]
    lone.hears("n0", Ping(5, "me", 1, updates=(Update("me", FAILED, 3, "n2"),)))
    assert lone.verdicts() == []
    assert lone.sends() == [Send(("n0",), Ack(5, 4, False, (Update("me", ALIVE, 4, "me"),)))]


@pytest.mark.parametrize(
    ("held", "update", "verdict"),
    [
        (("alive", 3), (ALIVE, 3), None),
        (("alive", 3), (ALIVE, 4), "alive"),
        (("alive", 3), (SUSPECT, 2), None),
        (("alive", 3), (SUSPECT, 3), "suspect"),
        (("alive", 3), (FAILED, 3), "failed"),
        (("alive", 3), (FAILED, 2), None),
        (("suspect", 3), (ALIVE, 3), None),
        (("suspect", 3), (ALIVE, 4), "alive"),
        (("suspect", 3), (SUSPECT, 3), None),
        (("suspect", 3), (SUSPECT, 4), "suspect"),
        (("suspect", 3), (FAILED, 3), "failed"),
        (("failed", 3), (ALIVE, 3), None),
        (("failed", 3), (ALIVE, 4), "alive"),
        (("failed", 3), (SUSPECT, 3), None),
        (("failed", 3), (SUSPECT, 4), "suspect"),
        (("failed", 3), (FAILED, 4), "failed"),
        (("alive", 3), (ALIVE, 3 + INCARNATION_STEP_MAX), "alive"),
        (("alive", 3), (ALIVE, 4 + INCARNATION_STEP_MAX), None),
        (("alive", 3), (FAILED, 4 + INCARNATION_STEP_MAX), None),
    ],
)
def test_an_update_overrides_by_incarnation_and_then_by_gravity(
    lone: Lone, held: tuple[str, int], update: Any, verdict: str | None
) -> None:
    lone.members(lone.member("n3", held[1], held[0]))
    lone.hears("n0", News((Update("n3", update[0], update[1], "n1"),)))
    assert [v.status for v in lone.verdicts()] == ([] if verdict is None else [verdict])


def test_the_table_overrules_what_was_concluded_here(lone: Lone) -> None:
    lone.hears("n0", News((Update("n3", FAILED, 9, "n0"),)))
    assert lone.machine.snapshot().failed == 1
    lone.members(lone.member("n3", 1, "alive"))
    snapshot = lone.machine.snapshot()
    assert (snapshot.failed, snapshot.present) == (0, 4)


def test_a_member_that_left_is_forgotten(lone: Lone) -> None:
    lone.hears("n0", News((Update("n3", SUSPECT, 1, "n0"),)))
    lone.members(lone.member("n3", 1, "left"))
    snapshot = lone.machine.snapshot()
    assert (snapshot.present, snapshot.suspects, snapshot.updates_queued) == (3, 0, 0)
    assert lone.hears("n3", Ping(1, "me", 1)) == []


def test_made_up_names_do_not_shorten_a_suspicion(lone: Lone) -> None:
    lone.members(*(lone.member(f"n{i}") for i in range(10)))
    lone.hears("n0", News((Update("n3", SUSPECT, 1, "n0"),)))
    peer = lone.machine._opinions.peers["n3"]
    assert peer.suspicion is not None
    before_ns = peer.suspicion.length_ns()
    for by in ("ghost", "n3", "me", "", "n0"):
        lone.hears("n0", Ping(1, "me", 1, updates=(Update("n3", SUSPECT, 1, by),)))
    assert peer.suspicion.length_ns() == before_ns
    lone.hears("n0", Ping(1, "me", 1, updates=(Update("n3", SUSPECT, 1, "n5"),)))
    assert peer.suspicion.length_ns() < before_ns


def test_a_suspect_that_answers_pings_is_not_convicted_while_it_does(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=1)
    lone.members(lone.member("n0", 1, "suspect"))
    while lone.now_ns < ns(60):
        lone.due()
        lone.answer()
        assert lone.verdicts() == []


# evidence


def test_a_refusal_and_a_second_one_convict_at_once(lone: Lone) -> None:
    lone.evidence("n2", "refused")
    assert [(s.to, s.lane) for s in lone.sends()] == [(("n2",), "datagram"), (("n2",), "stream")]
    lone.now_ns += ns(0.001)
    lone.evidence("n2", "refused")
    assert lone.verdicts() == [Verdict("n2", "failed", 1, "refused", "me")]


def test_a_reset_alone_never_convicts_and_a_refusal_after_it_does(lone: Lone) -> None:
    for _ in range(3):
        lone.evidence("n2", "reset")
        assert lone.verdicts() == []
    lone.evidence("n2", "refused")
    assert [v.status for v in lone.verdicts()] == ["failed"]


def test_an_answer_between_two_refusals_clears_the_member(lone: Lone) -> None:
    lone.evidence("n2", "refused")
    seq = next(s.message.seq for s in lone.sends() if isinstance(s.message, Ping))
    lone.hears("n2", Ack(seq, 1, True))
    lone.evidence("n2", "refused")
    assert lone.verdicts() == []


def test_a_confirming_probe_repeats_for_a_transport_that_reports_once_a_second(lone: Lone) -> None:
    lone.evidence("n2", "refused")
    lone.now_ns += ns(0.001)
    again = 0
    while lone.now_ns < ns(1.2):
        lone.due()
        again += sum(s.to == ("n2",) and s.lane == "stream" for s in lone.sends())
        assert not [v for v in lone.verdicts() if v.peer == "n2"]
        if lone.now_ns < ns(1.1):
            for send in lone.sends():
                if isinstance(send.message, Ping) and send.to != ("n2",):
                    lone.hears(send.to[0], Ack(send.message.seq, 1))
    assert again >= 1
    lone.evidence("n2", "refused")
    assert [v.cause for v in lone.verdicts()] == ["refused"]


def test_another_process_at_the_address_counts_as_a_refusal(lone: Lone) -> None:
    ping = lone.until(Ping)
    other = next(f"n{i}" for i in range(4) if f"n{i}" != ping.to[0])
    lone.hears(other, NotMe(ping.message.seq))
    assert lone.verdicts() == []
    lone.hears(other, NotMe(ping.message.seq))
    assert lone.verdicts() == [Verdict(ping.to[0], "failed", 1, "refused", "me")]


def test_a_member_that_refutes_a_refusal_is_convicted_by_refusals_no_more_until_it_restarts(lone: Lone) -> None:
    for _ in range(2):
        lone.evidence("n2", "refused")
    assert [v.status for v in lone.verdicts()] == ["failed"]
    lone.members(lone.member("n2", 2))
    for _ in range(4):
        lone.evidence("n2", "refused")
        assert lone.verdicts() == []
    lone.members(lone.member("n2", 3, started_ms=99))
    for _ in range(2):
        lone.evidence("n2", "refused")
    assert [v.status for v in lone.verdicts()] == ["failed"]


def test_an_unreachable_member_is_probed_at_once_and_a_heard_one_changes_nothing(lone: Lone) -> None:
    assert lone.evidence("n2", "heard") == []
    lone.evidence("n2", "unreachable")
    assert [s.to for s in lone.sends()] == [("n2",)]
    assert lone.evidence("n2", "unreachable") == []
    assert lone.evidence("stranger", "refused") == []


# failed members


def test_a_failed_member_is_probed_at_low_rate_and_told_so(lone: Lone) -> None:
    lone.members(lone.member("n3", 4, "failed"))
    pings = []
    while lone.now_ns < ns(50):
        lone.due()
        pings += [s.message for s in lone.sends() if s.to == ("n3",)]
        for send in lone.sends():
            if isinstance(send.message, Ping) and send.to != ("n3",):
                lone.hears(send.to[0], Ack(send.message.seq, 1))
    assert 9 <= len(pings) <= 11
    assert all(ping.updates[0] == Update("n3", FAILED, 4, "me") for ping in pings)
    assert lone.machine.snapshot().counts["probes_failed"] == 0


def test_a_failed_member_that_answers_is_alive(lone: Lone) -> None:
    lone.members(*(lone.member(f"n{i}", 4, "failed") for i in range(4)))
    ping = lone.until(Ping)
    lone.hears(ping.to[0], Ack(ping.message.seq, 4))
    assert lone.verdicts() == [Verdict(ping.to[0], "alive", 4, "probe", "me")]
    ping = lone.until(Ping)
    lone.hears(ping.to[0], Ack(ping.message.seq, 5))
    assert lone.verdicts() == [Verdict(ping.to[0], "alive", 5, "probe", "me")]
    assert lone.machine.snapshot().present == 0  # until the table follows
    lone.members(lone.member(ping.to[0], 5))
    assert lone.machine.snapshot().present == 1


# pauses and ends


def test_after_a_pause_open_probes_are_void_and_nobody_is_accused(lone: Lone) -> None:
    lone.until(PingRequest)
    lone.now_ns += ns(60)
    lone.due()
    assert lone.verdicts() == []
    snapshot = lone.machine.snapshot()
    assert (snapshot.counts["pauses"], snapshot.counts["probes_failed"]) == (1, 0)
    assert snapshot.quiet


def test_a_probe_that_fails_right_after_a_pause_accuses_nobody(make_member: MakeMember) -> None:
    lone = Lone(make_member, probe_timeout=0.1)
    lone.now_ns = resumed_ns = ns(60)
    lone.take(lone.machine.on_deadline(lone.now_ns))
    while (lone.machine.next_deadline() or 0) < resumed_ns + ns(1.0):
        lone.due()
        assert lone.verdicts() == []
    assert lone.machine.snapshot().counts["probes_failed"] == 1
    lone.until_suspect()


def test_answered_probes_restore_the_own_fitness(lone: Lone) -> None:
    lone.until_suspect()
    assert lone.machine.snapshot().awareness == 3
    for _ in range(40):
        lone.due()
        lone.answer()
    assert lone.machine.snapshot().awareness == 0


def test_a_suspicion_that_ran_out_during_a_pause_runs_anew(lone: Lone) -> None:
    lone.members(lone.member("n3", 1, "suspect"))
    resumed_ns = lone.now_ns = ns(60)
    lone.take(lone.machine.on_deadline(lone.now_ns))
    assert lone.verdicts() == []
    while not any(v.peer == "n3" and v.status == "failed" for v in lone.verdicts()):
        lone.due()
    assert lone.now_ns >= resumed_ns + ns(4.0 / 3)


def test_a_node_that_is_always_late_waits_longer_for_answers_and_for_refutations(make_member: MakeMember) -> None:
    waits = []
    for late_s in (0.0, 0.8):
        lone = Lone(make_member, suspicion_timeout=2.0)
        asked = suspected = 0
        while not (failed := [verdict for verdict in lone.verdicts() if verdict.status == "failed"]):
            deadline_ns = lone.machine.next_deadline()
            assert deadline_ns is not None
            lone.now_ns = max(lone.now_ns, deadline_ns + ns(late_s))
            lone.take(lone.machine.on_deadline(lone.now_ns))
            asked = asked or (lone.now_ns if any(isinstance(send.message, PingRequest) for send in lone.sends()) else 0)
            suspected = suspected or (lone.now_ns if lone.verdicts() and not failed else 0)
        waits.append((suspected - asked, lone.now_ns - suspected))
    (answer_ns, refutation_ns), (late_answer_ns, late_refutation_ns) = waits
    assert late_answer_ns - answer_ns >= 2 * ns(0.8)
    assert late_refutation_ns - refutation_ns >= 4 * ns(0.8) - ns(1)


def test_two_refusals_convict_nobody_right_after_a_pause(lone: Lone) -> None:
    lone.now_ns = ns(60)
    lone.evidence("n2", "refused")
    lone.evidence("n2", "refused")
    assert lone.verdicts() == []


def test_a_deadline_that_comes_early_twice_or_hours_late_does_bounded_work(lone: Lone) -> None:
    assert lone.machine.on_deadline(0) == ()
    for now_ns in (ns(36_000), ns(36_000)):
        effects = lone.machine.on_deadline(now_ns)
        assert len(effects) <= 4
        deadline_ns = lone.machine.next_deadline()
        assert deadline_ns is not None
        assert deadline_ns > now_ns


def test_a_node_that_leaves_stops_probing_and_still_answers(lone: Lone) -> None:
    lone.until(PingRequest)
    assert lone.machine.on_leave(lone.now_ns) == ()
    assert lone.machine.next_deadline() is None
    assert lone.hears("n0", Ping(7, "me", 1)) != []


# hostile input


def test_random_messages_from_members_and_strangers_neither_raise_nor_pile_up(lone: Lone) -> None:
    rng = Random(5)
    names = [*(f"n{i}" for i in range(4)), "me", "ghost", "x" * 63]

    def updates() -> tuple[Update, ...]:
        numbers = (0, 1, 2, INCARNATION_STEP_MAX, 2**63 - 1)
        return tuple(
            Update(rng.choice(names), rng.choice((ALIVE, SUSPECT, FAILED)), rng.choice(numbers), rng.choice(names))
            for _ in range(rng.randrange(5))
        )

    for _ in range(5000):
        lone.now_ns += rng.randrange(ns(0.02))
        seq, name = rng.randrange(10) + rng.choice((0, lone.machine._seq - 5, 2**62)), rng.choice(names)
        message = rng.choice(
            (
                Ping(seq, name, rng.randrange(3), rng.random() < 0.5, updates()),
                Ack(seq, rng.choice((1, 2**63 - 1)), False, updates()),
                PingRequest(seq, name, 1, updates()),
                Nack(seq),
                NotMe(seq),
                News(updates()),
            )
        )
        effects = lone.hears(rng.choice(names), message)
        assert len(effects) <= 20
        if (lone.machine.next_deadline() or 0) <= lone.now_ns:
            lone.machine.on_deadline(lone.now_ns)
    snapshot = lone.machine.snapshot()
    assert snapshot.present + snapshot.failed == 4
    assert snapshot.probes_open <= 4
    assert snapshot.relays_open <= 256
    assert snapshot.updates_queued <= 5
    assert snapshot.timers <= 400


@pytest.mark.parametrize(
    "junk",
    [
        [1, 2**63, "me", 1],
        [1, -1, "me", 1],
        [1, 1, "x" * 64, 1],
        [1, 1, "me", 1, False, [["a", 3, 1, "b"]]],
        [6, [["a", 1, 1, "b"]] * 17],
        [7, 1],
        [],
    ],
)
def test_what_is_out_of_bounds_does_not_decode(junk: list[object]) -> None:
    union = Ping | Ack | PingRequest | Nack | NotMe | News
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(junk), type=union)


def test_messages_survive_the_wire_and_a_ping_is_small() -> None:
    union = Ping | Ack | PingRequest | Nack | NotMe | News
    assert set(SPEC.messages) == {Ping, Ack, PingRequest, Nack, NotMe, News}
    for message in (
        Ping(1, "n1", 2, True, (Update("a", SUSPECT, 1, "b"),)),
        Ack(1, 2),
        PingRequest(1, "n1", 1),
        Nack(1),
        NotMe(1),
        News((Update("a", ALIVE, 1, "a"),)),
    ):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=union) == message
    assert len(msgspec.msgpack.encode(Ping(2**31, "eu-west-001", 3))) <= 24


def pinged(lone: Lone) -> list[str]:
    return [send.to[0] for send in lone.sends() if isinstance(send.message, Ping)]


def test_three_suspects_have_all_others_probed_at_once_and_two_do_not(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=12)
    lone.now_ns = ns(1.5)
    for number in range(3):
        lone.hears("n9", News((Update(f"n{number}", SUSPECT, 1, "n9"),)))
        assert len(pinged(lone)) == (1 + 9 if number == 2 else 1)  # a second opinion each time
    assert lone.machine.snapshot().counts["sweeps"] == 1


def test_a_sweep_leaves_out_whom_was_heard_lately_and_comes_seldom(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=12)
    lone.now_ns = ns(1.5)
    for number in range(3):
        lone.hears("n9", News((Update(f"n{number}", SUSPECT, 1, "n9"),)))
    lone.answer()
    for number in range(3, 6):
        lone.now_ns += ns(0.1)
        lone.hears("n9", News((Update(f"n{number}", SUSPECT, 1, "n9"),)))
    while lone.now_ns < ns(11.5):
        assert lone.machine.snapshot().counts["sweeps"] == 1
        lone.due()
        lone.answer()
    for number in range(6, 9):
        lone.hears("n9", News((Update(f"n{number}", SUSPECT, 1, "n9"),)))
    assert lone.machine.snapshot().counts["sweeps"] == 2


def test_nobody_sweeps_right_after_a_pause(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=12)
    lone.due()
    lone.now_ns += ns(60.0)
    for number in range(4):
        lone.hears("n9", News((Update(f"n{number}", SUSPECT, 1, "n9"),)))
    assert lone.machine.snapshot().quiet
    assert lone.machine.snapshot().counts["sweeps"] == 0
