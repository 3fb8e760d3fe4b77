"""Clients that write down what they asked and what came back, and the troubles they work through."""

import itertools
import subprocess
import threading
import time
from contextlib import contextmanager

from mpreg_core.sim.linearizability import Operation

OPERATIONS_A_KEY = 60
"""Then the clients go on to another key: a search over longer histories would take too long."""


class Record:
    """What all clients did, in one list. `eventual` are acknowledged writes that only have to be there in the end."""

    def __init__(self):
        self._lock = threading.Lock()
        self._begun = itertools.count()
        self.history = []
        self.eventual = {}
        self.answered = 0

    def key(self):
        """The key of the next operation."""
        return f"k{next(self._begun) // OPERATIONS_A_KEY}"

    def add(self, operation):
        with self._lock:
            self.history.append(operation)
            self.answered += operation.ended_s is not None

    def kept(self, key, value):
        with self._lock:
            self.eventual[key] = value


class Client(threading.Thread):
    """Writes, reads, compares and sets over one node's HTTP API until `stop`; every answer is written down."""

    def __init__(self, node, record):
        super().__init__(name=f"client-{node.id}", daemon=True)
        self.node = node
        self.record = record
        self.stop = threading.Event()

    def run(self):
        for number in itertools.count():
            if self.stop.is_set():
                return
            key, value = self.record.key(), f"{self.node.id}-{number}"
            if number % 4 == 3:
                self.put_eventually(f"{self.node.id}-{number}", number)
            elif number % 4 == 2:
                self.compare_and_set(key, value)
            elif number % 4 == 1:
                self.read(key)
            else:
                self.ask("PUT", key, ("write", value), {"value": value})

    def read(self, key, consistency="linearizable"):
        """The entry; None if there is none or no answer."""
        return self.ask("GET", key, ("read",), None, consistency)

    def compare_and_set(self, key, value):
        found = self.read(key)
        if found is not None:
            expected, version = found.get("value"), found.get("version", "0")
            self.ask("PUT", key, ("cas", expected, value), {"value": value, "if_version": version})

    def put_eventually(self, key, value):
        try:
            status, _ = self.node.ask("PUT", f"/api/state/{key}?scope=pool", {"value": value})
        except OSError:
            status = 0
        if status == 200:
            self.record.kept(key, value)
        else:
            self.stop.wait(0.05)

    def ask(self, method, key, call, body, consistency="linearizable"):
        """One operation: {} for a key that is not there, None if nothing is known of the outcome."""
        path = f"/api/state/{key}?scope=pool&consistency={consistency}"
        begun = time.monotonic()
        try:
            status, answer = self.node.ask(method, path, body)
        except ConnectionRefusedError:  # it was never asked
            self.stop.wait(0.05)
            return None
        except OSError:
            self.record.add(Operation(key, begun, None, call, by=self.name))
            return None
        ended = time.monotonic()
        if status in (200, 404) or (status == 409 and call[0] == "cas"):
            result = answer.get("value") if call[0] == "read" else status == 200
            self.record.add(Operation(key, begun, ended, call, result, self.name))
            return answer if status == 200 else {}
        if not answer["error"]["definite"]:
            self.record.add(Operation(key, begun, None, call, by=self.name))
        self.stop.wait(0.05)
        return None


@contextmanager
def clients_of(nodes, record):
    """A client for each node, while the body runs."""
    clients = [Client(node, record) for node in nodes]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(30)


class Wires:
    """What the hosts' kernels let through."""

    def __init__(self, hosts):
        self._hosts = hosts

    def _rule(self, at, *words):
        command = ("ip", "netns", "exec", self._hosts.of[at], "iptables", *words)
        subprocess.run(command, check=True, capture_output=True)

    def block(self, source, target):
        """Nothing that `source` sends reaches `target`."""
        self._rule(target, "-A", "INPUT", "-s", self._hosts.address(source), "-j", "DROP")

    def cut(self, node, others):
        """Apart from all the others, both ways."""
        for other in others:
            self.block(node, other)
            self.block(other, node)

    def lose(self, node, share):
        """A share of what comes in."""
        self._rule(
            node, "-A", "INPUT", "-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", str(share),
            "-j", "DROP",
        )  # fmt: skip

    def mend(self):
        """All as it was."""
        for name in self._hosts.of:
            self._rule(name, "-F")
