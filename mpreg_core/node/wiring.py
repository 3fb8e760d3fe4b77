"""The tables of what arrives inside a node: what a machine's fact means for its siblings and core, who takes a message.

Facts that are not here go to observers only.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mpreg_core.contracts.events import (
    Decided,
    Delivered,
    Event,
    LeaderChanged,
    MemberChanged,
    ReadDone,
    RoundTrip,
    SnapshotInstalled,
    Verdict,
)
from mpreg_core.ids import NodeId
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.wire.control import Deliver, Goodbye, Hello, Received, Refused, TookCustody, Welcome

if TYPE_CHECKING:
    from mpreg_core.node.core import NodeCore

Wire = Callable[["NodeCore", PoolStack, Event], None]


def _verdict(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, Verdict)
    core.merging.on_verdict(stack, event)


def _round_trip(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, RoundTrip)
    core.merging.on_round_trip(stack, event)
    stack.call(stack.gossip, "on_round_trip", event.peer, event.rtt_ns)


def _delivered(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, Delivered)
    core.merging.on_delivered(stack, event)


def _member_changed(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, MemberChanged)
    if event.change != "updated":
        core.messages.on_members()
    if event.change in ("failed", "left"):
        core.requests.on_gone(event.member.id)
    if event.member.id == core.state.parent and event.change in ("failed", "left", "updated"):
        core.joining.hurry()
    elif event.member.tier == stack.tier:
        core.joining.on_hub()


def _decided(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, Decided)
    core.decisions.on_decided(stack, event)


def _read_done(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, ReadDone)
    core.decisions.on_read_done(event)


def _leader_changed(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, LeaderChanged)
    core.state.count("mpreg_leader_changes_total", pool=stack.pool)


def _snapshot_installed(core: "NodeCore", stack: PoolStack, event: Event) -> None:
    assert isinstance(event, SnapshotInstalled)
    core.decisions.on_snapshot(stack, event)


WIRES: dict[type[Event], Wire] = {
    Verdict: _verdict,
    RoundTrip: _round_trip,
    Delivered: _delivered,
    MemberChanged: _member_changed,
    Decided: _decided,
    ReadDone: _read_done,
    LeaderChanged: _leader_changed,
    SnapshotInstalled: _snapshot_installed,
}


def _hello(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.admission.on_hello(message)


def _welcome(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.pools.on_welcome(source, message)


def _refused(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.joining.on_refused(source, message)


def _received(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.spread.on_received(source, message)


def _deliver(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.messages.on_deliver(source, message)


def _took(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.messages.custody.on_taken(source, message)


def _goodbye(core: "NodeCore", source: NodeId, message: Any) -> None:
    core.merging.on_goodbye(source, message)


CONTROLS: dict[type, Callable[["NodeCore", NodeId, Any], None]] = {
    Hello: _hello,
    Welcome: _welcome,
    Refused: _refused,
    Received: _received,
    Goodbye: _goodbye,
    Deliver: _deliver,
    TookCustody: _took,
}
"""Core's own messages."""
