"""Clients that watch keys through all troubles, and what their streams must have in common."""

import http.client
import json
import threading
from contextlib import contextmanager

from namespaces import inside

SILENCE_S = 20.0


class Watcher(threading.Thread):
    """Follows the keys that begin with `k` at one node until `stop`, through every break.

    `seen` is a list for each stretch without a gap, of (key, value) in the order in which they came.
    """

    def __init__(self, node, namespace):
        super().__init__(name=f"watcher-{node.id}", daemon=True)
        self.node = node
        self.stop = threading.Event()
        self.seen = [[]]
        self.wrong = ""
        self._namespace = namespace
        self._last_id = ""
        self._revision = 0

    def run(self):
        while not self.stop.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException):
                self.stop.wait(0.1)

    def _follow(self):
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=SILENCE_S)
        try:
            with inside(self._namespace):
                connection.connect()
            headers = {"last-event-id": self._last_id} if self._last_id else {}
            connection.request("GET", "/api/state/k/watch?prefix=true&scope=pool", headers=headers)
            answer = connection.getresponse()
            frame = {}
            while not self.stop.is_set() and (line := answer.readline()):
                name, _, text = line.decode().rstrip("\n").partition(": ")
                if name:
                    frame[name] = text
                elif frame:
                    self._take(frame)
                    frame = {}
        finally:
            connection.close()

    def _take(self, frame):
        if frame.get("event") == "compacted":
            self.seen.append([])
            self._revision = 0
        elif "data" in frame and "event" not in frame:
            data, revision = json.loads(frame["data"]), int(frame["id"])
            if revision < self._revision:
                self.wrong = f"revision {revision} of {data['key']} after {self._revision}"
            self._last_id, self._revision = frame["id"], revision
            self.seen[-1].append((data["key"], data.get("value")))


@contextmanager
def watchers_of(nodes, hosts):
    """A watcher for each node, while the body runs."""
    watchers = [Watcher(node, hosts.of[name]) for name, node in nodes.items()]
    for watcher in watchers:
        watcher.start()
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.stop.set()


def disagreement(watchers):
    """What two watchers saw in another order, or one saw come back; empty when they agree. Values are written once."""
    before = {}  # (key, a, b): a came before b, somewhere
    for watcher in watchers:
        if watcher.wrong:
            return f"{watcher.name}: {watcher.wrong}"
        for stretch in watcher.seen:
            orders = {}
            for key, value in stretch:
                values = orders.setdefault(key, [])
                if value in values[:-1]:
                    return f"{watcher.name}: {key} was {value} again"
                if values[-1:] != [value]:
                    values.append(value)
            for key, values in orders.items():
                for at, late in enumerate(values):
                    for early in values[:at]:
                        before[key, early, late] = watcher.name
    for key, early, late in before:
        if (key, late, early) in before:
            first, second = before[key, early, late], before[key, late, early]
            return f"{key}: {early} came before {late} at {first}, after it at {second}"
    return ""
