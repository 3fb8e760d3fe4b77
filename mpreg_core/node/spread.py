"""Messages to everyone: publishing, and test messages that measure how fast gossip spreads."""

from collections import OrderedDict

from msgspec import Struct

from mpreg_core.contracts.events import SpreadMeasured
from mpreg_core.errors import InvalidInputError, OverloadedError, PayloadTooLargeError
from mpreg_core.ids import NodeId
from mpreg_core.limits import MESSAGE_BYTES_MAX
from mpreg_core.node import topics
from mpreg_core.node.messages import Messages
from mpreg_core.node.state import NodeState
from mpreg_core.wire.control import Received
from mpreg_core.wire.payload import is_json

PROBES_MAX = 64
TOPIC_CHARACTERS_MAX = 255


class Probe(Struct):
    """A test message under way: who must get it, who said so."""

    started_ns: int
    members: set[NodeId]
    reached: set[NodeId]
    last_ns: int


class Spread:
    """Publishes, and counts the answers to test messages; the newest `PROBES_MAX` are remembered."""

    def __init__(self, state: NodeState, messages: Messages) -> None:
        self._state = state
        self._messages = messages
        self._probes: OrderedDict[str, Probe] = OrderedDict()
        self._sequence = 0

    def _new_id(self) -> str:
        self._sequence += 1
        return f"{self._state.id}-{self._state.settings.started_ms:x}-{self._sequence}"

    def publish(self, topic: str, payload: bytes, *, at_least_once: bool = False) -> str:
        """Publish a message to whoever subscribed, in this node's pools and beyond. Gives its id.

        With `at_least_once` this node keeps it until others have taken it on; it is safe when `custody.log.then` says
        so. Raises `InvalidInputError`, `OverloadedError`, `PayloadTooLargeError`.
        """
        is_whole = all(topic.split("."))  # no empty word
        if not is_whole or len(topic) > TOPIC_CHARACTERS_MAX or any(mark in topic for mark in "*# \t\n"):
            raise InvalidInputError(f"expected a topic of words between dots, without * and #, got {topic!r:.80}")
        if len(payload) > MESSAGE_BYTES_MAX:
            raise PayloadTooLargeError(f"expected a message of at most {MESSAGE_BYTES_MAX} bytes, got {len(payload)}")
        if not is_json(payload):
            raise InvalidInputError(f"expected a message of JSON text, got {payload[:40]!r}")
        state = self._state
        if at_least_once and not self._messages.custody.has_room(len(payload)):
            why = f"{len(self._messages.custody)} messages wait at this node until others have taken them on"
            raise OverloadedError(why, where=state.id)
        record = topics.MessageRecord(self._new_id(), topic, payload, state.id, at_least_once)
        self._messages.send(record)
        return record.id

    def measure(self) -> tuple[str, int]:
        """Spread a test message in the pools of this node: its id, and how many members should get it."""
        state = self._state
        record = topics.ProbeRecord(self._new_id(), state.id)
        members = {member.id for stack in state.stacks.values() for member in stack.table.present()} - {state.id}
        self._probes[record.id] = Probe(state.now_ns, members, set(), state.now_ns)
        if len(self._probes) > PROBES_MAX:
            self._probes.popitem(last=False)
        item = topics.probe_item(record, state.wall_ms)
        for stack in state.lowest_first():
            stack.publish(item)
        return record.id, len(members)

    def on_received(self, source: NodeId, received: Received) -> None:
        """A member got a test message."""
        probe = self._probes.get(received.probe)
        if probe is None or source not in probe.members or source in probe.reached:
            return
        probe.reached.add(source)
        probe.last_ns = self._state.now_ns
        spread = SpreadMeasured(
            received.probe, len(probe.reached), len(probe.members), probe.last_ns - probe.started_ns
        )
        self._state.emit(None, spread)
