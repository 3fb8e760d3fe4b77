"""Who wants which messages, in bounded size: what a node tells each of its pools of the subscribers behind it.

A node's record in a pool names the patterns that are wanted here and beyond, in its other pools: so a message goes
only where somebody waits for it. A hub leaves out what it hears from nodes that are in both pools, for they say it
themselves; else what one hub has from another would come back to it for ever.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from mpreg_core.errors import InvalidInputError, OverloadedError
from mpreg_core.ids import NodeId
from mpreg_core.limits import INTEREST_GROUPS_MAX, INTEREST_PATTERNS_MAX, SUBSCRIPTIONS_MAX
from mpreg_core.node.topics import InterestRecord, matches
from mpreg_core.registry.bloom import Bloom

TOPIC_CHARACTERS_MAX = 255
FILTER_BYTES = 8_192

_Key = TypeVar("_Key")


class Filter:
    """What patterns begin with, up to their first `*` or `#`, in bounded size.

    A topic may be wanted if one of its beginnings is inside. With 5,000 patterns about two of a hundred topics that
    nobody wants pass; a message then crosses a link for nothing.
    """

    def __init__(self, content: bytes = b"") -> None:
        self._beginnings = Bloom(FILTER_BYTES, content)

    def add(self, pattern: str) -> None:
        """A pattern is wanted."""
        words = pattern.split(".")
        end = next((at for at, word in enumerate(words) if word in ("*", "#")), len(words))
        self._beginnings.add(".".join(words[:end]))

    def merge(self, content: bytes) -> None:
        """What another filter holds is wanted."""
        self._beginnings.merge(content)

    def may_want(self, topic: str) -> bool:
        """False only if no pattern inside matches."""
        words = topic.split(".")
        return any(".".join(words[:length]) in self._beginnings for length in range(len(words) + 1))

    def as_bytes(self) -> bytes:
        """For a record."""
        return self._beginnings.content()


class Wants:
    """What one record says, ready to be asked."""

    def __init__(self, record: InterestRecord) -> None:
        self.record = record
        self._filter = Filter(record.bits) if record.bits else None

    def topic(self, topic: str) -> bool:
        """True if a subscriber behind the record's node may want it."""
        if any(matches(pattern, topic) for pattern in self.record.patterns):
            return True
        return self._filter is not None and self._filter.may_want(topic)

    def groups(self, topic: str) -> set[str]:
        """The queue groups behind it of which one member is to get the message."""
        return {queue for pattern, queue in self.record.groups if matches(pattern, topic)}


class Local:
    """The subscribers at this node: how many plain ones want a pattern, and how many in a queue, and these in turn."""

    def __init__(self) -> None:
        self.patterns: Counter[str] = Counter()
        self.groups: Counter[tuple[str, str]] = Counter()
        self._members: dict[int, tuple[str, str]] = {}
        self._queues: dict[str, list[int]] = {}
        self._token = 0

    def __len__(self) -> int:
        return len(self._members)

    def add(self, pattern: str, queue: str) -> int:
        """One more; gives its token. Raises `InvalidInputError`, `OverloadedError`."""
        if not all(pattern.split(".")) or len(pattern) > TOPIC_CHARACTERS_MAX or len(queue) > TOPIC_CHARACTERS_MAX:
            expected = f"a pattern of words between dots and a queue, each of at most {TOPIC_CHARACTERS_MAX} characters"
            raise InvalidInputError(f"expected {expected}, got {pattern!r:.80} and {queue!r:.80}")
        if len(self._members) >= SUBSCRIPTIONS_MAX:
            raise OverloadedError(f"{SUBSCRIPTIONS_MAX} subscriptions are open at this node")
        self._token += 1
        self._members[self._token] = (pattern, queue)
        if queue:
            self._queues.setdefault(queue, []).append(self._token)
            self.groups[pattern, queue] += 1
        else:
            self.patterns[pattern] += 1
        return self._token

    def remove(self, token: int) -> None:
        """One less."""
        pattern, queue = self._members.pop(token)
        if not queue:
            _one_less(self.patterns, pattern)
            return
        _one_less(self.groups, (pattern, queue))
        self._queues[queue].remove(token)
        if not self._queues[queue]:
            del self._queues[queue]

    def has(self, queue: str, topic: str) -> bool:
        """True if a group has a member here that wants a topic."""
        return any(matches(self._members[token][0], topic) for token in self._queues.get(queue, ()))

    def choose(self, queue: str, topic: str) -> int | None:
        """The member of a group whose turn it is, of those that want the topic."""
        tokens = self._queues.get(queue, [])
        for token in tokens:
            if matches(self._members[token][0], topic):
                tokens.remove(token)
                tokens.append(token)
                return token
        return None


def _one_less(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def record_of(node: NodeId, life: int, sequence: int, local: Local, others: Iterable[InterestRecord]) -> InterestRecord:
    """What a node tells a pool: its own subscribers' wishes and those that it heard of beyond."""
    patterns, groups = set(local.patterns), set(local.groups)
    merged = Filter()
    has_bits = False
    for record in others:
        patterns.update(record.patterns)
        groups.update(record.groups)
        if record.bits:
            has_bits = True
            merged.merge(record.bits)
    kept = tuple(sorted(groups)[:INTEREST_GROUPS_MAX])
    if len(patterns) <= INTEREST_PATTERNS_MAX and not has_bits:
        return InterestRecord(node, life, sequence, tuple(sorted(patterns)), kept)
    for pattern in patterns:
        merged.add(pattern)
    return InterestRecord(node, life, sequence, (), kept, merged.as_bytes())
