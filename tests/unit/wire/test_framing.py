"""The frame format: what is written is what is read, however the stream is cut; a bad length ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.wire.framing import BATCH_BYTES, HEADER, Framer, stream_batches


def test_a_frame_is_its_length_in_four_big_endian_bytes_and_itself() -> None:
    assert list(stream_batches([b"abc", b"z"])) == [b"\0\0\0\3abc\0\0\0\1z"]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.data())
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(stream_batches(frames))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    framer, out = Framer(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += framer.feed(stream[begin:end])
    assert out == frames
    assert (framer.pending_bytes, framer.fault) == (0, "")


def test_the_longest_frame_fits_byte_by_chunk() -> None:
    frame = b"x" * FRAME_BYTES_MAX
    (stream,) = stream_batches([frame])
    framer, out = Framer(), []
    for begin in range(0, len(stream), 1000):
        out += framer.feed(stream[begin : begin + 1000])
        assert framer.pending_bytes <= len(stream)
    assert out == [frame]


@pytest.mark.parametrize(
    ("length", "fault"), [(0, "bad_length"), (FRAME_BYTES_MAX + 1, "oversized"), (0xFFFFFFFF, "oversized")]
)
def test_a_length_that_is_not_allowed_is_a_fault_after_the_frames_before_it(length: int, fault: str) -> None:
    framer = Framer()
    assert framer.feed(b"\0\0\0\2ok" + HEADER.pack(length) + b"rest") == [b"ok"]
    assert (framer.fault, framer.pending_bytes) == (fault, 0)


def test_a_fault_is_seen_when_the_header_comes_in_pieces() -> None:
    framer = Framer()
    assert framer.feed(b"\xff\xff") == []
    assert framer.feed(b"\xff\xff") == []
    assert framer.fault == "oversized"


def test_a_large_batch_is_written_in_bounded_pieces() -> None:
    frames = [bytes(1000)] * 1000
    pieces = list(stream_batches(frames))
    assert b"".join(pieces) == b"".join(HEADER.pack(1000) + frame for frame in frames)
    assert max(map(len, pieces)) <= BATCH_BYTES + 2 * 1004 + 4 * 132
    assert len(pieces) == 8
