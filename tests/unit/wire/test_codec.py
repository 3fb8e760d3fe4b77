"""Frames: what goes in comes out, what is hostile is named and dropped."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from mpreg_core.ids import FAMILIES
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.wire.codec import FrameError, MessageDecoder, decode_frame, encode_body, encode_frame
from mpreg_core.wire.envelope import CONTROL_CHANNEL, REQUEST_CHANNEL, channel_id


class Ping(Struct, frozen=True, array_like=True, tag=1):
    number: int


class Pong(Struct, frozen=True, array_like=True, tag=2):
    text: str


DECODER = MessageDecoder((Ping, Pong))


@pytest.mark.parametrize("message", [Ping(7), Pong("x" * 1000)])
def test_a_message_comes_back_with_its_channel_and_sender(message):
    envelope = decode_frame(encode_frame(77, "node-1", encode_body(message)))
    assert (envelope.channel, envelope.source) == (77, "node-1")
    assert DECODER.decode(envelope.body) == message


def test_a_ping_costs_few_bytes():
    channel = channel_id("mpreg", "local:l1", "failure_detector", "swim")
    assert len(encode_frame(channel, "node-1", encode_body(Ping(1)))) < 24


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "bad_envelope"),
        (b"\xc1", "bad_envelope"),
        (msgspec.msgpack.encode([1, 2]), "bad_envelope"),
        (msgspec.msgpack.encode(["1", 2, "a", 3]), "bad_envelope"),
        (msgspec.msgpack.encode([2, 2, "a", 3]), "wire_version"),
        (b"\x91" * 200_000, "bad_envelope"),
        (bytes(FRAME_BYTES_MAX + 1), "oversized"),
    ],
)
def test_a_bad_frame_says_why(frame, reason):
    with pytest.raises(FrameError) as caught:
        decode_frame(frame)
    assert caught.value.code == reason


@pytest.mark.parametrize("body", [[9, 1], [1, "x"], [1], {}, None, "text", [2, 5]])
def test_a_body_that_is_no_message_of_the_channel_is_refused(body):
    with pytest.raises(FrameError) as caught:
        DECODER.decode(msgspec.Raw(msgspec.msgpack.encode(body)))
    assert caught.value.code == "bad_body"


def test_a_message_over_the_limit_is_not_sent():
    with pytest.raises(FrameError) as caught:
        encode_frame(1, "a", encode_body(Pong("x" * FRAME_BYTES_MAX)))
    assert caught.value.code == "oversized"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise_anything_else(data):
    try:
        DECODER.decode(decode_frame(data).body)
    except FrameError:
        pass


def test_channels_are_the_same_in_every_process_and_apart_from_each_other():
    assert channel_id("mpreg", "global", "gossip", "epidemic") == 4_127_771_321
    places = [(name, pool) for name in ("mpreg", "other") for pool in ("global", "regional:eu", "local:l1")]
    channels = {channel_id(*place, family, "p") for place in places for family in FAMILIES}
    assert len(channels) == 30
    assert not channels & {CONTROL_CHANNEL, REQUEST_CHANNEL}
