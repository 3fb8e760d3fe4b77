"""The bytes of the last release still decode, to the same values: nodes of two versions understand each other."""

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from write import golden, messages

MESSAGES = dict(messages())
GOLDEN = golden()


def test_every_message_has_golden_bytes():
    assert sorted(set(MESSAGES) - set(GOLDEN)) == [], "run: python tests/golden/write.py"


def test_no_message_of_a_release_is_gone():
    assert sorted(set(GOLDEN) - set(MESSAGES)) == [], "nodes of the last release still send it"


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_bytes_of_the_last_release_decode_to_what_they_were(name):
    old = bytes.fromhex(GOLDEN[name])
    decoded = msgspec.msgpack.decode(old, type=MESSAGES[name])
    now, before = msgspec.msgpack.decode(msgspec.msgpack.encode(decoded)), msgspec.msgpack.decode(old)
    assert prefix_of(now, before) == before, "fields may be appended, with defaults; nothing else may change"


def prefix_of(now, before):
    """The part of a value that an older release knew."""
    if isinstance(before, list) and isinstance(now, list):
        return [prefix_of(new, old) for new, old in zip(now, before, strict=False)]
    if isinstance(before, dict) and isinstance(now, dict):
        return {key: prefix_of(now[key], old) for key, old in before.items() if key in now}
    return now


def test_a_changed_field_is_noticed():
    class Old(msgspec.Struct, array_like=True, tag=1):
        size: int
        name: str

    class New(msgspec.Struct, array_like=True, tag=1):
        name: str
        size: int

    old = msgspec.msgpack.encode(Old(1, "a"))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(old, type=New)
