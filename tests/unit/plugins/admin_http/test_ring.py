"""The ring of kept events: numbers, bounds, and how an event reads."""

import anyio
import msgspec
import pytest

from mpreg_admin_http.ring import KEPT_MAX, EventRing, event_json
from mpreg_core import (
    Address,
    Decided,
    Delivered,
    Event,
    Member,
    MemberChanged,
    Occurrence,
    RequestDone,
    RoundTrip,
    SnapshotInstalled,
    StateChanged,
)


def change(revision):
    return Occurrence(revision, "a", "local:a", StateChanged("k", "pool", revision, False))


def filled(count):
    ring = EventRing("e1")
    for revision in range(1, count + 1):
        ring.add(change(revision), 1.5)
    return ring


def revisions(entries):
    return [entry.occurrence.event.revision for entry in entries]


@pytest.mark.parametrize(
    ("count", "number", "lost", "first"),
    [
        (0, 0, 0, None),
        (3, 0, 0, 1),
        (3, 2, 0, 3),
        (3, 3, 0, None),
        (KEPT_MAX, 0, 0, 1),
        (KEPT_MAX + 5, 0, 5, 6),
        (KEPT_MAX + 5, 3, 2, 6),
        (KEPT_MAX + 5, 5, 0, 6),
        (KEPT_MAX + 5, 6, 0, 7),
    ],
)
def test_a_reader_gets_what_is_left_and_how_many_it_lost(count, number, lost, first):
    missed, entries = filled(count).after(number)
    assert missed == lost
    assert (revisions(entries) or [None])[0] == first


def test_a_reader_that_goes_on_reads_everything_once():
    ring, number, seen = filled(600), 0, []
    while entries := ring.after(number)[1]:
        seen += revisions(entries)
        number = entries[-1].number
    assert seen == list(range(1, 601))


@pytest.mark.parametrize(
    ("wire_id", "number"),
    [
        ("", 10),  # new readers see only what is new
        ("e1-4", 4),
        ("e1-10", 10),
        ("e1-99", 10),
        ("e0-4", 0),  # from before a restart: all that is kept
        ("e1-" + "9" * 400, 0),
        ("e1-x", 0),
        ("e1-²", 0),
        ("nonsense", 0),
    ],
)
def test_a_last_event_id_resumes_where_it_says(wire_id, number):
    assert filled(10).resume_from(wire_id) == number


def test_an_id_that_was_sent_is_understood():
    ring = filled(10)
    assert ring.resume_from(ring.wire_id(7)) == 7


def test_an_unknown_id_begins_with_the_oldest_kept():
    ring = filled(KEPT_MAX + 5)
    assert ring.after(ring.resume_from("e0-1"))[0] == 0


def test_measurements_are_not_kept():
    ring = EventRing("e1")
    ring.add(Occurrence(1, "a", "p", RoundTrip("b", 5)), 0.0)
    ring.add(Occurrence(2, "a", "p", Delivered("k", 1, b"x", "b", 0, 1)), 0.0)
    ring.add(Occurrence(3, "a", "", RequestDone("s", "ok", 2, 5)), 0.0)
    assert ring.last == 0


@pytest.mark.anyio
async def test_all_who_wait_are_woken_by_one_event():
    ring, woken = EventRing("e1"), []

    async def reader(name):
        await ring.wait(0)
        woken.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(reader, "x")
            group.start_soon(reader, "y")
            await anyio.wait_all_tasks_blocked()
            ring.add(change(1), 0.0)
    assert sorted(woken) == ["x", "y"]


def read(event):
    ring = EventRing("e1")
    ring.add(Occurrence(1, "a", "p", event), 2.5)
    return msgspec.json.decode(event_json(ring.after(0)[1][0]))


def test_an_event_is_told_with_its_place_and_time():
    assert read(StateChanged("k", "pool", 3, True)) == {
        "at": 2.5,
        "node": "a",
        "pool": "p",
        "event": {"type": "StateChanged", "key": "k", "scope": "pool", "revision": 3, "deleted": True},
    }


def test_a_record_within_an_event_is_told_by_name_not_by_position():
    member = Member(
        id="b", incarnation=1, status="failed", tier="local", region="eu", address=Address("h", 1), started_ms=0
    )
    told = read(MemberChanged("failed", member, "alive", "probe"))["event"]["member"]
    assert told["id"] == "b"
    assert told["address"]["host"] == "h"


def test_json_in_bytes_is_told_as_json_and_other_bytes_as_their_number():
    decided = Decided("p", "k", b'{"x": 1}', "a", "committed", {"a": True})
    assert read(decided)["event"]["value"] == {"x": 1}
    assert read(msgspec.structs.replace(decided, value=b"\xff\x00"))["event"]["value"] == {"bytes": 2}


def test_a_long_payload_is_not_kept():
    ring = EventRing("e1")
    ring.add(Occurrence(1, "a", "p", SnapshotInstalled(b"7" * 100_000)), 0.0)
    (entry,) = ring.after(0)[1]
    assert len(entry.occurrence.event.state) < 100
    assert msgspec.json.decode(event_json(entry))["event"]["state"] == {"bytes": 100_000}


class Tuned(Event, frozen=True):
    """A fact of some plugin's own."""

    knob: str
    values: tuple[complex, ...]


def test_an_event_of_a_plugins_own_is_told_too():
    assert read(Tuned("x", (1j,)))["event"] == {"type": "Tuned", "knob": "x", "values": ["1j"]}
