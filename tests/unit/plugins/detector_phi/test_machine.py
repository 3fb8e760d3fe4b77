"""One `phi` machine, input by input."""

from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from time import perf_counter_ns
from typing import Any

import msgspec
import pytest

from mpreg_core import Effect, Emit, Member, RoundTrip, Send, StrategyContext, Verdict, ns
from mpreg_core.limits import INCARNATION_STEP_MAX
from mpreg_detector_phi.machine import Phi
from mpreg_detector_phi.messages import Answer, Doubt, Heartbeat
from mpreg_detector_phi.options import PhiOptions

MakeMember = Callable[..., Member]


class Lone:
    """A machine called `me` among `n0..`, driven by hand; `silent` members do not answer."""

    def __init__(self, make_member: MakeMember, others: int = 4, **options: Any) -> None:
        self.member = make_member
        self.now_ns = 0
        context = StrategyContext(make_member("me"), "local:hub", "local", Random(1), 0)
        self.machine = Phi(context, PhiOptions(**options))
        self.effects: list[Effect] = []
        self.silent: set[str] = set()
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
        """Go on to the next deadline; all but the silent answer what they are asked."""
        deadline_ns = self.machine.next_deadline()
        assert deadline_ns is not None
        self.now_ns = max(self.now_ns, deadline_ns)
        effects = self.take(self.machine.on_deadline(self.now_ns))
        for send in self.sends():
            for to in send.to:
                if isinstance(send.message, Heartbeat) and to not in self.silent:
                    effects = effects + self.hears(to, Answer(send.message.seq, 1, send.message.stream))
        return self.take(effects)

    def until(self, found: Callable[[], Any], within_s: float = 60) -> Any:
        """Go on until something is found among the effects."""
        end_ns = self.now_ns + ns(within_s)
        while self.now_ns < end_ns:
            self.due()
            if result := found():
                return result
        raise AssertionError(f"not found within {within_s} s")

    def sends(self, kind: type = object) -> list[Send]:
        return [e for e in self.effects if isinstance(e, Send) and isinstance(e.message, kind)]

    def verdicts(self) -> list[Verdict]:
        return [e.event for e in self.effects if isinstance(e, Emit) and isinstance(e.event, Verdict)]


@pytest.fixture
def lone(make_member: MakeMember) -> Lone:
    return Lone(make_member)


def test_a_heartbeat_is_answered_on_its_own_lane(lone: Lone) -> None:
    assert lone.hears("n0", Heartbeat(7)) == [Send(("n0",), Answer(7, 1))]
    assert lone.hears("n0", Heartbeat(8, stream=True)) == [Send(("n0",), Answer(8, 1, True), "stream")]


def test_a_stranger_gets_no_answer_and_is_counted(lone: Lone) -> None:
    assert lone.hears("nobody", Heartbeat(7)) == []
    assert lone.machine.snapshot().counts["strangers"] == 1


def test_one_message_goes_to_all_that_are_watched_each_interval(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=30, watchers=6)
    beats = []
    while lone.now_ns < ns(10.5):
        lone.due()
        beats += lone.sends(Heartbeat)
    assert len(beats) in (10, 11)
    assert all(len(beat.to) == 6 and beat.lane == "datagram" for beat in beats)


def test_an_answer_gives_a_round_trip_and_one_by_stream_does_not(lone: Lone) -> None:
    lone.silent = {"n0", "n1", "n2", "n3"}
    (beat,) = lone.until(lambda: lone.sends(Heartbeat))
    lone.now_ns += ns(0.012)
    assert lone.hears("n0", Answer(beat.message.seq, 1)) == [Emit(RoundTrip("n0", ns(0.012)))]
    assert lone.hears("n0", Answer(beat.message.seq, 1)) == []
    assert lone.hears("n1", Answer(beat.message.seq, 1, stream=True)) == []
    assert lone.hears("n1", Answer(beat.message.seq + 1, 1)) == []  # never asked
    counts = lone.machine.snapshot().counts
    assert (counts["answers"], counts["answers_late"]) == (2, 2)


def test_who_does_not_answer_in_time_is_asked_again_by_stream(lone: Lone) -> None:
    lone.silent = {"n2"}
    (beat,) = lone.until(lambda: lone.sends(Heartbeat))
    started_ns = lone.now_ns
    (again,) = lone.until(lambda: lone.sends(Heartbeat))
    assert lone.now_ns == started_ns + ns(0.5)
    assert again == Send(("n2",), Heartbeat(beat.message.seq, stream=True), "stream")


def test_a_silent_member_is_suspected_when_phi_reaches_the_threshold(lone: Lone) -> None:
    for _ in range(300):
        lone.due()
    lone.silent = {"n2"}
    heard_ns = lone.machine._peers.by_id["n2"].heard_ns
    (verdict,) = lone.until(lone.verdicts)
    assert verdict == Verdict("n2", "suspect", 1, "phi", "me")
    assert (lone.now_ns - heard_ns) / 1e9 == pytest.approx(1 + 2 + 5.612 * 0.1, abs=0.02)
    (doubt,) = lone.sends(Doubt)
    assert doubt.message == Doubt("n2", 1)
    assert sorted(doubt.to) == ["n0", "n1", "n3"]
    (accusation,) = [s for s in lone.sends(Heartbeat) if s.to == ("n2",)]
    assert accusation.message.accused == 1


@pytest.mark.parametrize(("confirmed", "expected_s"), [(False, 4.0), (True, 1.0)])
def test_a_suspect_is_failed_after_its_time_and_sooner_when_another_watcher_agrees(
    lone: Lone, confirmed: bool, expected_s: float
) -> None:
    lone.silent = {"n2"}
    lone.until(lone.verdicts)
    suspected_ns = lone.now_ns
    if confirmed:
        lone.hears("n0", Doubt("n2", 1))
    (verdict,) = lone.until(lambda: [v for v in lone.verdicts() if v.status == "failed"])
    assert verdict == Verdict("n2", "failed", 1, "phi", "me")
    assert lone.now_ns == suspected_ns + ns(expected_s)


def test_an_answer_takes_back_ones_own_doubt(lone: Lone) -> None:
    lone.silent = {"n2"}
    lone.until(lone.verdicts)
    (question,) = [s for s in lone.sends(Heartbeat) if s.to == ("n2",)]
    lone.hears("n2", Answer(question.message.seq, 1, stream=True))
    answered_ns = lone.now_ns
    lone.hears("n0", Doubt("n2", 1))  # the other watcher alone is not enough
    lone.until(lambda: [v for v in lone.verdicts() if v.status == "failed"])
    assert lone.now_ns > answered_ns + ns(3.0)


def test_another_watchers_doubt_alone_shortens_nothing_and_the_suspect_is_asked(lone: Lone) -> None:
    lone.until(lambda: lone.now_ns > ns(3))
    lone.hears("n0", Doubt("n2", 1))
    assert lone.verdicts() == [Verdict("n2", "suspect", 1, "phi", "n0")]
    (asked,) = lone.sends(Heartbeat)
    assert (asked.to, asked.message.accused) == (("n2",), 1)
    while lone.now_ns < ns(30):
        lone.due()
        assert lone.verdicts() == []  # it answers: not failed, and not alive before it refuted


def test_stale_and_absurd_doubts_change_nothing(lone: Lone) -> None:
    lone.members(lone.member("n2", 5))
    for sender, doubt in (("n0", Doubt("n2", 4)), ("n2", Doubt("n2", 5)), ("n0", Doubt("ghost", 1))):
        assert lone.hears(sender, doubt) == []
    assert lone.machine.snapshot().stale == 3


def test_a_refuted_suspicion_is_withdrawn_and_silence_counts_anew(lone: Lone) -> None:
    lone.silent = {"n2"}
    lone.until(lone.verdicts)
    lone.members(lone.member("n2", 2))
    refuted_ns = lone.now_ns
    snapshot = lone.machine.snapshot()
    assert (snapshot.suspects, snapshot.withdrawn) == (0, 1)
    (verdict,) = lone.until(lone.verdicts)
    assert (verdict.status, verdict.incarnation) == ("suspect", 2)
    assert lone.now_ns > refuted_ns + ns(3.0)


def test_silence_before_a_refutation_is_no_interval(lone: Lone) -> None:
    lone.silent = {"n2"}
    lone.until(lone.verdicts)
    lone.members(lone.member("n2", 2))
    arrivals = lone.machine._peers.by_id["n2"].arrivals
    assert arrivals is not None
    before = len(arrivals)
    lone.now_ns = lone.machine._peers.by_id["n2"].heard_ns + ns(3.9)
    lone.hears("n2", Answer(lone.machine._seq, 2))
    assert len(arrivals) == before


def test_a_suspect_that_answers_with_a_higher_incarnation_is_alive(lone: Lone) -> None:
    lone.silent = {"n2"}
    lone.until(lone.verdicts)
    lone.hears("n2", Answer(0, 2))
    assert lone.verdicts() == [Verdict("n2", "alive", 2, "heartbeat", "me")]
    assert lone.hears("n2", Answer(0, 2 + INCARNATION_STEP_MAX + 1)) == []


def test_an_accused_node_says_so_to_its_table_and_the_refutation_to_its_accuser(lone: Lone) -> None:
    lone.hears("n0", Heartbeat(7, accused=1))
    assert lone.verdicts() == [Verdict("me", "suspect", 1, "phi", "n0")]
    assert lone.members(lone.member("me", 2)) == [Send(("n0",), Answer(0, 2))]
    assert lone.hears("n0", Heartbeat(8, accused=1)) == [Send(("n0",), Answer(8, 2))]


def test_an_answer_accuses_too(lone: Lone) -> None:
    lone.members(lone.member("n2", 1, "failed"))
    lone.hears("n2", Heartbeat(7))
    assert lone.sends()[-1] == Send(("n2",), Answer(7, 1, accused=1))
    lone.hears("n2", Answer(0, 1, accused=4))
    assert lone.verdicts() == [Verdict("me", "suspect", 4, "phi", "n2")]


def test_a_process_that_forgot_its_incarnation_is_told(lone: Lone) -> None:
    lone.members(lone.member("n2", 5))  # it answers with 1
    told = lone.until(lambda: [s for s in lone.sends(Heartbeat) if s.to == ("n2",)], within_s=5)
    assert told[0].message.accused == 5


def test_a_suspicion_from_the_table_runs_as_ones_own(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=40)
    unwatched = next(name for name, peer in sorted(lone.machine._peers.by_id.items()) if peer.arrivals is None)
    lone.members(make_member(unwatched, 1, "suspect"))
    (verdict,) = lone.until(lone.verdicts, within_s=4.01)
    assert verdict == Verdict(unwatched, "failed", 1, "phi", "me")


def test_failed_members_are_asked_at_low_rate_in_turn_and_one_that_answers_is_alive(lone: Lone) -> None:
    lone.members(lone.member("n2", 4, "failed"), lone.member("n3", 4, "failed"))
    lone.silent = {"n2", "n3"}
    asked = []
    while lone.now_ns < ns(60):
        lone.due()
        asked += [s.to[0] for s in lone.sends(Heartbeat) if s.to[0] in lone.silent]
    assert 10 <= len(asked) <= 12
    assert set(asked[:2]) == {"n2", "n3"}
    beat = lone.until(lambda: [s for s in lone.sends(Heartbeat) if s.to == ("n2",)])[0]
    assert beat.message.accused == 4
    for incarnation in (4, 5):
        lone.hears("n2", Answer(beat.message.seq, incarnation))
        assert [(v.status, v.incarnation) for v in lone.verdicts()] == [("alive", incarnation)]
    assert lone.machine.snapshot().failed == 2  # until the table follows
    lone.members(lone.member("n2", 5))
    assert lone.machine.snapshot().failed == 1


def test_a_refusal_and_a_second_one_convict_and_an_answer_between_clears(lone: Lone) -> None:
    lone.evidence("n2", "refused")
    assert [s.lane for s in lone.sends(Heartbeat)] == ["datagram", "stream"]
    seq = lone.sends(Heartbeat)[1].message.seq
    lone.hears("n2", Answer(seq, 1, True))
    lone.evidence("n2", "refused")
    assert lone.verdicts() == []
    lone.evidence("n2", "reset")
    assert lone.verdicts() == []
    lone.evidence("n2", "refused")
    assert lone.verdicts() == [Verdict("n2", "failed", 1, "refused", "me")]


def test_a_question_to_confirm_is_repeated(lone: Lone) -> None:
    lone.silent = {"n2"}
    lone.evidence("n2", "refused")
    streams = 0
    while (lone.machine.next_deadline() or 0) <= ns(1.1):
        lone.due()
        streams += sum(
            s.to == ("n2",) and s.message.accused == -1 and s.lane == "stream" for s in lone.sends(Heartbeat)
        )
    assert lone.now_ns == ns(1.1)
    assert streams >= 2  # the repetition after the time-out, and the question
    lone.evidence("n2", "refused")
    assert [v.cause for v in lone.verdicts()] == ["refused"]


def test_a_member_that_refutes_a_refusal_is_convicted_by_refusals_no_more_until_it_restarts(lone: Lone) -> None:
    for _ in range(2):
        lone.evidence("n2", "refused")
    lone.members(lone.member("n2", 2))
    for _ in range(4):
        lone.evidence("n2", "refused")
        assert lone.verdicts() == []
    lone.members(lone.member("n2", 3, started_ms=99))
    lone.evidence("n2", "refused")
    assert lone.verdicts() == []
    lone.evidence("n2", "refused")
    assert [v.status for v in lone.verdicts()] == ["failed"]


def test_heard_changes_nothing_and_unreachable_asks_by_stream(lone: Lone) -> None:
    assert lone.evidence("n2", "heard") == []
    assert [(s.to, s.lane) for s in lone.evidence("n2", "unreachable") if isinstance(s, Send)] == [(("n2",), "stream")]
    assert lone.evidence("ghost", "refused") == []


def test_after_a_pause_nobody_is_accused_and_silence_counts_from_the_resumption(lone: Lone) -> None:
    for _ in range(100):
        lone.due()
    lone.silent = {"n2"}
    lone.members(lone.member("n3", 1, "suspect"))
    lone.now_ns = resumed_ns = lone.now_ns + ns(600)
    lone.take(lone.machine.on_deadline(lone.now_ns))
    assert lone.verdicts() == []
    assert lone.machine.snapshot().quiet
    for _ in range(2):
        lone.evidence("n1", "refused")
    assert lone.verdicts() == []
    lone.until(lambda: [v for v in lone.verdicts() if v.peer == "n2"])
    assert (lone.now_ns - resumed_ns) / 1e9 > 3.0
    assert lone.machine.snapshot().counts["pauses"] == 1


def test_even_the_most_impatient_detector_waits_an_interval_after_a_pause(make_member: MakeMember) -> None:
    lone = Lone(make_member, first_estimate=0.01, acceptable_pause=0, min_deviation=0.01)
    lone.silent = {f"n{i}" for i in range(4)}
    lone.now_ns = ns(60)
    lone.take(lone.machine.on_deadline(lone.now_ns))
    assert lone.verdicts() == []
    lone.until(lone.verdicts)
    assert lone.now_ns == ns(61)


def test_who_is_not_watched_any_more_is_not_measured_any_more(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=5)
    lone.members(*(make_member(f"m{i}") for i in range(200)))
    measured = {name for name, peer in lone.machine._peers.by_id.items() if peer.arrivals is not None}
    assert measured == {peer.id for peer in lone.machine._watched}
    assert len(measured) == 5


def test_the_watched_change_with_the_pool_and_leave_nothing_behind(make_member: MakeMember) -> None:
    lone = Lone(make_member, others=3)
    for i in range(1000):
        status = ("alive", "suspect", "failed")[i % 3]
        lone.members(make_member(f"x{i}", 1, status))
        lone.due()
        lone.evidence(f"x{i}", "refused")
        lone.members(make_member(f"x{i}", 1, "left"))
    snapshot = lone.machine.snapshot()
    assert (snapshot.present, snapshot.watched, snapshot.suspects, snapshot.failed) == (3, 3, 0, 0)
    assert snapshot.timers <= 5
    assert len(lone.machine._sent_ns) <= 64


def test_a_node_that_leaves_stops_asking_and_still_answers(lone: Lone) -> None:
    (beat,) = lone.until(lambda: lone.sends(Heartbeat))
    lone.machine.on_leave(lone.now_ns)
    assert lone.hears("n0", Heartbeat(9)) != []
    lone.hears("n0", Answer(beat.message.seq + 1, 1))
    assert lone.machine.next_deadline() is None


def test_a_deadline_that_comes_early_twice_or_hours_late_does_bounded_work(lone: Lone) -> None:
    assert lone.machine.on_deadline(0) == ()
    for _ in range(2):
        assert len(lone.machine.on_deadline(ns(36_000))) <= 6
        deadline_ns = lone.machine.next_deadline()
        assert deadline_ns is not None
        assert deadline_ns > ns(36_000)


def test_random_messages_neither_raise_nor_pile_up(lone: Lone) -> None:
    rng = Random(5)
    names = [*(f"n{i}" for i in range(4)), "me", "ghost"]
    numbers = (0, 1, 2, 5, INCARNATION_STEP_MAX, 2**63 - 1)
    for _ in range(5000):
        lone.now_ns += rng.randrange(ns(0.02))
        message = rng.choice(
            (
                Heartbeat(rng.choice(numbers), rng.random() < 0.5, rng.choice((-1, *numbers))),
                Answer(rng.choice(numbers), rng.choice(numbers), rng.random() < 0.5, rng.choice((-1, *numbers))),
                Doubt(rng.choice(names), rng.choice(numbers)),
            )
        )
        assert len(lone.hears(rng.choice(names), message)) <= 10
        if (lone.machine.next_deadline() or 0) <= lone.now_ns:
            lone.machine.on_deadline(lone.now_ns)
    snapshot = lone.machine.snapshot()
    assert snapshot.present + snapshot.failed == 4
    assert snapshot.timers <= 16


@pytest.mark.parametrize("junk", [[1, -1], [1, 1, False, -2], [2, 1, 2**63], [3, "x" * 64, 1], [4, 1], []])
def test_what_is_out_of_bounds_does_not_decode(junk: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(junk), type=Heartbeat | Answer | Doubt)


@pytest.mark.bench
@pytest.mark.parametrize("members", [30, 10_000])
def test_a_heartbeat_and_an_answer_cost_the_same_in_any_pool(make_member: MakeMember, members: int) -> None:
    lone = Lone(make_member, others=members)
    machine, watched = lone.machine, lone.machine._watched[0].id
    machine._seq = 10**9  # every answer below was asked for
    times = count(1)

    def microseconds(message: Callable[[int], Any]) -> float:
        started_ns = perf_counter_ns()
        for _ in range(5000):
            at_ns = next(times)
            machine.on_message(at_ns, watched, message(at_ns))
        return (perf_counter_ns() - started_ns) / 5e6

    heartbeat = min(microseconds(lambda at_ns: Heartbeat(1)) for _ in range(3))
    answer = min(microseconds(lambda at_ns: Answer(at_ns, 1)) for _ in range(3))
    assert machine.snapshot().counts["answers"] == 15_000
    print(f"\n{members} members: heartbeat {heartbeat:.1f} µs, answer {answer:.1f} µs")
    assert max(heartbeat, answer) < 100
