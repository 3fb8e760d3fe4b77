"""Hands every event to every observer, through a bounded queue of its own.

Publishing never calls an observer, so an event costs the node an append. The driver drains once a turn. An observer
that raises is logged once, counted and switched off (as trio does with its instruments); one that is slow loses the
oldest events, counted.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mpreg_core.contracts.events import Occurrence
from mpreg_core.limits import EVENT_QUEUE_MAX
from mpreg_core.plugin.registry import Loaded

_log = logging.getLogger("mpreg.plugin")

DRAIN_MAX = 256
"""Events an observer gets in one turn, so that a flood of them does not hold up the node."""


@dataclass(slots=True)
class ObserverStats:
    """What became of an observer's events. `failed`: it raised and is switched off; `queued` is emptied then."""

    delivered: int = 0
    dropped: int = 0
    queued: int = 0
    failed: bool = False


@dataclass(slots=True)
class _Observer:
    plugin: Loaded
    queue: deque[Occurrence] = field(default_factory=deque)
    stats: ObserverStats = field(default_factory=ObserverStats)


class Observers:
    """The observers of a process. Not for several threads."""

    def __init__(self, plugins: Sequence[Loaded], queue_max: int = EVENT_QUEUE_MAX) -> None:
        self._queue_max = queue_max
        self._observers = [_Observer(plugin) for plugin in plugins if plugin.observe is not None]

    def publish(self, occurrence: Occurrence) -> bool:
        """Queue an event for every observer; True if there is one, so that it has to be drained."""
        queued = False
        for observer in self._observers:
            if observer.stats.failed:
                continue
            if len(observer.queue) >= self._queue_max:
                observer.queue.popleft()
                observer.stats.dropped += 1
            observer.queue.append(occurrence)
            queued = True
        return queued

    def drain(self) -> bool:
        """Call the observers with what is queued, `DRAIN_MAX` events each; True if some are left. Never raises."""
        for observer in self._observers:
            self._drain(observer)
        return any(observer.queue for observer in self._observers)

    def stats(self) -> Mapping[str, ObserverStats]:
        """Counters by the observer's entry point."""
        for observer in self._observers:
            observer.stats.queued = len(observer.queue)
        return {observer.plugin.found.name: observer.stats for observer in self._observers}

    def _drain(self, observer: _Observer) -> None:
        observe = observer.plugin.observe
        assert observe is not None
        # Counted first: what an observer causes to be published waits for the next turn.
        for _ in range(min(len(observer.queue), DRAIN_MAX)):
            try:
                observe(observer.queue.popleft())
            except KeyboardInterrupt:
                raise
            except BaseException:  # SystemExit too: an observer does not decide over the process
                observer.stats.failed = True
                observer.queue.clear()
                found = observer.plugin.found
                _log.exception("observer %s (%s) raised and is switched off", found.name, found.source)
                return
            observer.stats.delivered += 1
