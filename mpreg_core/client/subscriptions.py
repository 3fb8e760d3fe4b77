"""A client's subscriptions: each message that comes goes to the feeds whose pattern matches its topic."""

from collections.abc import AsyncIterator, Callable

import msgspec

from mpreg_core.contracts.api import Json, Message
from mpreg_core.embed.streams import Feed
from mpreg_core.node.topics import matches
from mpreg_core.wire.client import Delivery

TOPICS_REMEMBERED_MAX = 1_024


class Reading:
    """What a member of a queue iterates over: done with a message when it asks for the next, or leaves in peace."""

    def __init__(self, feed: Feed[Message], finish: Callable[[Message], None]) -> None:
        self._feed = feed
        self._finish = finish
        self._last: Message | None = None

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        self.done()
        self._last = message = await anext(self._feed)
        return message

    def done(self) -> None:
        """With the last message."""
        last, self._last = self._last, None
        if last is not None:
            self._finish(last)


class Subscriptions:
    """Feeds by pattern and queue group; which of them a topic goes to is remembered. The empty group is no group."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str], list[Feed[Message]]] = {}
        self._of_topic: dict[tuple[str, str], list[Feed[Message]]] = {}

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """What the hub is to send: patterns and groups."""
        return tuple(self._feeds)

    def add(self, pattern: str, queue: str = "") -> Feed[Message]:
        """One more."""
        feed: Feed[Message] = Feed()
        self._feeds.setdefault((pattern, queue), []).append(feed)
        self._of_topic.clear()
        return feed

    def remove(self, pattern: str, queue: str, feed: Feed[Message]) -> bool:
        """One less; True if it was the last one of its pattern and group."""
        feeds = self._feeds[pattern, queue]
        feeds.remove(feed)
        self._of_topic.clear()
        if not feeds:
            del self._feeds[pattern, queue]
        return not feeds

    def take(self, delivery: Delivery, queues: tuple[str, ...] = (), *, plain: bool = True) -> None:
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
                feed.put(message)

    def _wanting(self, topic: str, queue: str) -> list[Feed[Message]]:
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
