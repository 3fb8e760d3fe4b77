"""The streams that a `swim` pool keeps open: two to the next on the ring of names, opened once, refreshed seldom."""

from mpreg_core import Effect, Send
from mpreg_detector_swim.messages import News
from mpreg_detector_swim.timers import Timers
from mpreg_detector_swim.witness import REFRESH_NS, SETTLE_NS, WITNESSED, Witness


class Watch:
    """A `Witness` called `m` with its timers."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.out: list[Effect] = []
        self.witness = Witness("m", self.timers, self.out)

    def next(self, present: set[str]) -> tuple[int, tuple[str, ...]]:
        """When it woke, and whom it wrote to."""
        now_ns = self.timers.next()
        assert now_ns is not None
        assert self.timers.pop(now_ns) == ("witness", 0)
        self.out.clear()
        self.witness.on_due(now_ns, present)
        assert all(isinstance(send, Send) and send.lane == "stream" for send in self.out)
        assert all(isinstance(send, Send) and send.message == News(()) for send in self.out)
        return now_ns, tuple(peer for send in self.out if isinstance(send, Send) for peer in send.to)


def test_the_next_two_are_watched_around_the_ring() -> None:
    for present, chosen in (({"a", "b", "n", "z"}, ("n", "z")), ({"a", "b", "z"}, ("z", "a")), ({"a"}, ("a",))):
        watch = Watch()
        watch.witness.on_change(0)
        assert watch.next(present) == (SETTLE_NS, chosen)
    assert len(chosen) <= WITNESSED


def test_a_storm_of_changes_is_one_and_only_new_ones_are_written_to() -> None:
    watch = Watch()
    for now_ns in range(0, 1000, 10):
        watch.witness.on_change(now_ns)
    assert watch.next({"n", "p"}) == (SETTLE_NS, ("n", "p"))
    watch.witness.on_change(2 * SETTLE_NS)
    assert watch.next({"n", "o", "p"}) == (3 * SETTLE_NS, ("o",))


def test_all_are_refreshed_before_a_connection_counts_as_idle() -> None:
    watch = Watch()
    watch.witness.on_change(0)
    begun_ns, _ = watch.next({"n", "p"})
    assert watch.next({"n", "p"}) == (begun_ns + REFRESH_NS, ("n", "p"))
    assert watch.next({"n", "p"}) == (begun_ns + 2 * REFRESH_NS, ("n", "p"))


def test_a_lone_node_writes_to_nobody() -> None:
    watch = Watch()
    watch.witness.on_change(0)
    assert watch.next(set()) == (SETTLE_NS, ())
