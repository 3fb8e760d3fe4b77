"""What core's own gossip items mean: a key's prefix says who understands the payload and which version wins."""

from msgspec import MsgspecError, Struct, msgpack

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.gossip import BULK, NORMAL, URGENT, Item
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId
from mpreg_core.membership.federation import HubSummary, encode_summary
from mpreg_core.state.items import make_stamp
from mpreg_core.wire.payload import is_json

MEMBER, HUB, CLUSTER, STATE, MESSAGE, PROBE, INTEREST = "m", "h", "c", "s", "e", "t", "i"
"""A member, a hub's summary, a cluster served by a member, a replicated key, a message, a test message, wishes."""


class ClusterRecord(Struct, frozen=True, array_like=True):
    """What a member serves. The member alone writes it: `incarnation` and `sequence` order the versions."""

    node: NodeId
    incarnation: int
    sequence: int
    cluster: Cluster | None  # None = nothing any more


class MessageRecord(Struct, frozen=True, array_like=True):
    """A published message: the payload is encoded JSON. At most once, without `at_least_once`."""

    id: str
    topic: str
    payload: bytes
    origin: NodeId
    at_least_once: bool = False


class InterestRecord(Struct, frozen=True, array_like=True):
    """Which messages are wanted at a member and beyond it. The member alone writes it: in its life, by a sequence.

    `groups` are pattern and name of queue groups; `bits` a filter (`interests.Filter`) in place of too many patterns.
    """

    node: NodeId
    life: int
    sequence: int
    patterns: tuple[str, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    bits: bytes = b""


class ProbeRecord(Struct, frozen=True, array_like=True):
    """A test message; whoever gets it tells the origin."""

    id: str
    origin: NodeId


UNREADABLE = (MsgspecError, RecursionError, UnicodeDecodeError, OverflowError, ValueError)
"""What reading an item of others may raise."""

members = msgpack.Decoder(Member)
clusters = msgpack.Decoder(ClusterRecord)
messages = msgpack.Decoder(MessageRecord)
interests = msgpack.Decoder(InterestRecord)
probes = msgpack.Decoder(ProbeRecord)


def topic_of(key: str) -> str:
    """The prefix of a key, up to the first `/`."""
    return key.partition("/")[0]


def _item(key: str, payload: bytes, origin: NodeId, born_ms: int, priority: int, kept: bool = True) -> Item:
    return Item(key, make_stamp(payload, key), payload, origin, born_ms, priority, kept)


def member_item(member: Member, origin: NodeId, born_ms: int) -> Item:
    """A member's record as an item; urgent."""
    return _item(f"{MEMBER}/{member.id}", msgpack.encode(member), origin, born_ms, URGENT)


def hub_item(summary: HubSummary, origin: NodeId, born_ms: int) -> Item:
    """A hub's summary as an item."""
    return _item(f"{HUB}/{summary.hub}", encode_summary(summary), origin, born_ms, NORMAL)


def cluster_item(record: ClusterRecord, born_ms: int) -> Item:
    """What a member serves as an item."""
    return _item(f"{CLUSTER}/{record.node}", msgpack.encode(record), record.node, born_ms, NORMAL)


def state_item(key: str, payload: bytes, origin: NodeId, born_ms: int) -> Item:
    """A replicated key as an item; `key` begins with its scope."""
    return _item(f"{STATE}/{key}", payload, origin, born_ms, NORMAL)


def read_message(payload: bytes) -> MessageRecord:
    """The message in an item of others. Raises one of `UNREADABLE`."""
    record = messages.decode(payload)
    if not is_json(record.payload):
        raise ValueError("a message that is no JSON")
    return record


def message_item(record: MessageRecord, born_ms: int) -> Item:
    """A published message as an item: delivered once, not kept."""
    return _item(f"{MESSAGE}/{record.id}", msgpack.encode(record), record.origin, born_ms, BULK, kept=False)


def interest_item(record: InterestRecord, born_ms: int) -> Item:
    """Which messages a member wants as an item."""
    return _item(f"{INTEREST}/{record.node}", msgpack.encode(record), record.node, born_ms, NORMAL)


def probe_item(record: ProbeRecord, born_ms: int) -> Item:
    """A test message as an item: delivered once, not kept."""
    return _item(f"{PROBE}/{record.id}", msgpack.encode(record), record.origin, born_ms, BULK, kept=False)


def matches(pattern: str, topic: str) -> bool:
    """True if a topic matches a pattern of words between dots: `*` is one word, a last `#` is any number of them."""
    wanted, words = pattern.split("."), topic.split(".")
    if wanted[-1] == "#":
        wanted.pop()
        if len(words) < len(wanted):
            return False
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))
