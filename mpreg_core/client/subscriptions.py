"""A client's subscriptions: each message that comes goes to the feeds whose pattern matches its topic."""

import msgspec

from mpreg_core.contracts.api import Json, Message
from mpreg_core.embed.streams import Feed
from mpreg_core.node.topics import matches
from mpreg_core.wire.client import Delivery

TOPICS_REMEMBERED_MAX = 1_024


class Subscriptions:
    """Feeds by pattern; which of them a topic goes to is remembered."""

    def __init__(self) -> None:
        self._feeds: dict[str, list[Feed[Message]]] = {}
        self._of_topic: dict[str, tuple[Feed[Message], ...]] = {}

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the hub is to send."""
        return tuple(self._feeds)

    def add(self, pattern: str) -> Feed[Message]:
        """One more."""
        feed: Feed[Message] = Feed()
        self._feeds.setdefault(pattern, []).append(feed)
        self._of_topic.clear()
        return feed

    def remove(self, pattern: str, feed: Feed[Message]) -> bool:
        """One less; True if it was the last one of its pattern."""
        feeds = self._feeds[pattern]
        feeds.remove(feed)
        self._of_topic.clear()
        if not feeds:
            del self._feeds[pattern]
        return not feeds

    def take(self, delivery: Delivery) -> None:
        """A message came."""
        topic = delivery.topic
        feeds = self._of_topic.get(topic)
        if feeds is None:
            if len(self._of_topic) >= TOPICS_REMEMBERED_MAX:
                self._of_topic.clear()
            found = (feed for pattern, each in self._feeds.items() if matches(pattern, topic) for feed in each)
            feeds = self._of_topic[topic] = tuple(found)
        if feeds:
            payload: Json = msgspec.json.decode(delivery.payload)
            message = Message(topic, payload, delivery.origin, delivery.id)
            for feed in feeds:
                feed.put(message)
