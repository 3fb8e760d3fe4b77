"""A client's subscriptions: each message that comes goes to the feeds whose pattern matches its topic."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec

from mpreg_core.contracts.api import Json, Message
from mpreg_core.embed.streams import Feed
from mpreg_core.node.topics import matches
from mpreg_core.wire.client import Delivery

TOPICS_REMEMBERED_MAX = 1_024


class Incoming(NamedTuple):
    """A message, and what to call when the subscriber is done with it."""

    message: Message
    done: Callable[[], None]


def nothing() -> None:
    """For a message that is not acknowledged."""


class Reading:
    """What a subscriber iterates over. It is done with a message when it asks for the next one, or leaves in peace."""

    def __init__(self, feed: Feed[Incoming]) -> None:
        self._feed = feed
        self._done: Callable[[], None] = nothing

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        self.done()
        incoming = await anext(self._feed)
        self._done = incoming.done
        return incoming.message

    def done(self) -> None:
        """With the last message."""
        done, self._done = self._done, nothing
        done()


class Subscriptions:
    """Feeds by pattern and queue group; which of them a topic goes to is remembered. The empty group is no group."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str], list[Feed[Incoming]]] = {}
        self._of_topic: dict[tuple[str, str], list[Feed[Incoming]]] = {}

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """What the hub is to send: patterns and groups."""
        return tuple(self._feeds)

    def add(self, pattern: str, queue: str = "") -> Feed[Incoming]:
        """One more."""
        feed: Feed[Incoming] = Feed()
        self._feeds.setdefault((pattern, queue), []).append(feed)
        self._of_topic.clear()
        return feed

    def remove(self, pattern: str, queue: str, feed: Feed[Incoming]) -> bool:
        """One less; True if it was the last one of its pattern and group."""
        feeds = self._feeds[pattern, queue]
        feeds.remove(feed)
        self._of_topic.clear()
        if not feeds:
            del self._feeds[pattern, queue]
        return not feeds

    def take(
        self,
        delivery: Delivery,
        queues: tuple[str, ...] = (),
        *,
        plain: bool = True,
        done: Callable[[], None] = nothing,
    ) -> None:
        """A message came: to all feeds outside of groups, and in each group it is for to the one whose turn it is."""
        feeds = list(self._wanting(delivery.topic, "")) if plain else []
        for queue in queues:
            in_group = self._wanting(delivery.topic, queue)
            if in_group:
                feeds.append(in_group[0])
                in_group.append(in_group.pop(0))
        if feeds:
            payload: Json = msgspec.json.decode(delivery.payload)
            message = Message(delivery.topic, payload, delivery.origin, delivery.id)
            for feed in feeds:
                feed.put(Incoming(message, done))

    def _wanting(self, topic: str, queue: str) -> list[Feed[Incoming]]:
        feeds = self._of_topic.get((topic, queue))
        if feeds is None:
            if len(self._of_topic) >= TOPICS_REMEMBERED_MAX:
                self._of_topic.clear()
            found = [
                feed
                for (pattern, group), each in self._feeds.items()
                if group == queue and matches(pattern, topic)
                for feed in each
            ]
            feeds = self._of_topic[topic, queue] = found
        return feeds
