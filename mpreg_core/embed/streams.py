"""Streams of events and messages for whoever listens: bounded, the oldest dropped, never the node's memory."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio

from mpreg_core.limits import EVENT_QUEUE_MAX

T = TypeVar("T")


class Feed(Generic[T]):
    """What one listener has not read yet. `dropped` counts what it was too slow for."""

    def __init__(self) -> None:
        self._queue: deque[T] = deque()
        self._wake = anyio.Event()
        self._waits = False
        self.dropped = 0

    def put(self, value: T) -> None:
        """Add; drops the oldest when the listener is slow."""
        if len(self._queue) >= EVENT_QUEUE_MAX:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(value)
        if self._waits:
            self._waits = False
            self._wake.set()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._queue:
            self._wake, self._waits = anyio.Event(), True
            await self._wake.wait()
        return self._queue.popleft()


class Broadcast(Generic[T]):
    """All listeners of one kind."""

    def __init__(self) -> None:
        self._feeds: set[Feed[T]] = set()

    def __len__(self) -> int:
        return len(self._feeds)

    def put(self, value: T) -> None:
        """To everyone who listens."""
        for feed in self._feeds:
            feed.put(value)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Feed[T]]:
        """Listen while the context is open."""
        feed: Feed[T] = Feed()
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
