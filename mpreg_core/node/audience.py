"""Who wants a message, in this node and behind the members of its pools."""

from collections.abc import Callable, Iterable

from mpreg_core.contracts.events import Published
from mpreg_core.ids import NodeId
from mpreg_core.node import topics
from mpreg_core.node.interests import Local
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState


class Audience:
    """Answers from the subscribers of this node and from what the pools' members told."""

    def __init__(self, state: NodeState, local: Local) -> None:
        self._state = state
        self._local = local
        self.client_of: Callable[[int], str] = lambda token: ""

    def wanting(self, stack: PoolStack, topic: str) -> Iterable[NodeId]:
        """The members of a pool with plain subscribers of a topic behind them, and failed hubs that had some."""
        return [node for node, wants in stack.wants.items() if is_expected(stack, node) and wants.topic(topic)]

    def groups(self, topic: str) -> set[str]:
        """The queue groups that want a topic, here and behind any member."""
        found = {queue for pattern, queue in self._local.groups if topics.matches(pattern, topic)}
        for stack in self._state.lowest_first():
            for node, wants in stack.wants.items():
                if wants.record.groups and is_expected(stack, node):
                    found |= wants.groups(topic)
        return found

    def is_here(self, group: str, topic: str) -> bool:
        """True if a queue group has a member at this node."""
        return self._local.has(group, topic)

    def serving(self, stacks: list[PoolStack], group: str, topic: str) -> tuple[PoolStack, NodeId] | None:
        """A member of one of some pools behind which there is somebody of a queue group.

        One that is there before a failed hub, else by chance.
        """
        behind = [
            (stack, node)
            for stack in stacks
            for node, wants in sorted(stack.wants.items())
            if wants.record.groups and is_expected(stack, node) and group in wants.groups(topic)
        ]
        best = [place for place in behind if is_present(*place)] or behind
        return self._state.rng.choice(best) if best else None

    def give(self, record: topics.MessageRecord, group: str) -> str | None:
        """Give a message to the member of a queue group here whose turn it is, if there is one.

        Gives the client that is to acknowledge it; empty for a member in this process, which has it.
        """
        token = self._local.choose(group, record.topic)
        if token is None:
            return None
        event = Published(record.id, record.topic, record.payload, record.origin, (token,), plain=False)
        self._state.emit(None, event)
        return self.client_of(token)


def is_present(stack: PoolStack, node: NodeId) -> bool:
    """True for a member that is there."""
    member = stack.table.member(node)
    return member is not None and member.status in ("alive", "suspect")


def is_expected(stack: PoolStack, node: NodeId) -> bool:
    """True for a member that is there, and for a failed hub: what is below it may live on, and come back with it."""
    member = stack.table.member(node)
    return member is not None and (is_present(stack, node) or (member.status == "failed" and member.tier != "cluster"))
