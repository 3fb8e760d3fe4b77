"""Hosts for nodes: network namespaces joined by a switch, and the way to a node's HTTP API inside of one."""

import http.client
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

import pytest
from namespaces import inside
from slow_switch import SlowSwitch


def ip(*words):
    """Run `ip`; gives what it complained of."""
    done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


class ApiInside:
    """The HTTP API of a node that listens on the loopback of a network namespace, at the guide's ports."""

    def __init__(self, namespace):
        self._namespace = namespace

    def call(self, method, path, body=None):
        """Status and decoded answer. Raises `OSError` when nobody answers."""
        port = 9090 if path == "/metrics" else 8080
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        try:
            with inside(self._namespace):  # a socket stays in the namespace it was made in
                connection.connect()
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"content-type": "application/json"} if sent else {})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, text if path == "/metrics" else json.loads(text)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def close(self):
        """Nothing is held open."""


class Hosts:
    """Namespaces `<prefix>-<n>` at 10.87.0.<n>, joined by a switch; each knows all by name.

    The switch is a bridge in a namespace of its own, or a `SlowSwitch`, whose ways can be made long.
    """

    def __init__(self, names):
        self.prefix = f"mpreg{os.getpid()}"
        self.bridge = f"{self.prefix}-switch"
        self.of = {name: f"{self.prefix}-{number}" for number, name in enumerate(names, 1)}
        self.files = Path("/etc/netns")
        self.slow = None

    def build(self, slow):
        """Gives why it cannot be done, or nothing."""
        complaint = _done(f"netns add {host}" for host in self.of.values())
        if not complaint:
            complaint = self._plug_slow() if slow else self._plug_bridge()
        for number, host in enumerate(self.of.values(), 1):
            complaint = complaint or _done(
                (
                    f"-n {host} address add 10.87.0.{number}/24 dev eth0",
                    f"-n {host} link set lo up",
                    f"-n {host} link set eth0 up",
                    f"-n {host} route add default via 10.87.0.254",
                    f"netns exec {host} true",
                )
            )
        if complaint:
            return complaint
        table = "127.0.0.1 localhost\n" + "".join(f"10.87.0.{n} {name}\n" for n, name in enumerate(self.of, 1))
        for host in self.of.values():
            folder = self.files / host  # `ip netns exec` lays it over /etc
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(table)
        return ""

    def _plug_bridge(self):
        steps = [
            f"netns add {self.bridge}",
            f"-n {self.bridge} link add bridge type bridge forward_delay 0",
            f"-n {self.bridge} link set bridge up",
        ]
        for number, host in enumerate(self.of.values(), 1):
            steps += [
                f"-n {host} link add eth0 type veth peer name port{number} netns {self.bridge}",
                f"-n {self.bridge} link set port{number} master bridge up",
            ]
        return _done(steps)

    def _plug_slow(self):
        try:
            self.slow = SlowSwitch(list(self.of.values()))
        except OSError as error:
            return str(error)
        return ""

    def set_way(self, source, target, way):
        """How long frames from one host to another take from now on; only with a slow switch."""
        names = list(self.of)
        self.slow.set(names.index(source), names.index(target), way)

    def set_all_ways(self, way):
        """Every host to every other."""
        for source, target in permutations(self.of, 2):
            self.set_way(source, target, way)

    def address(self, name):
        """Where a host is."""
        return f"10.87.0.{list(self.of).index(name) + 1}"

    def destroy(self):
        if self.slow is not None:
            self.slow.close()
        for host in (*self.of.values(), self.bridge):
            ip("netns", "delete", host)
            shutil.rmtree(self.files / host, ignore_errors=True)


def _done(steps):
    """Run `ip` for each step; gives the first complaint."""
    for step in steps:
        if complaint := ip(*step.split()):
            return f"`ip {step}`: {complaint}"
    return ""


@contextmanager
def network_of(names, *, slow=False):
    """A switch with a host for each name; skips the test where none can be made."""
    if shutil.which("ip") is None:
        pytest.skip("the command `ip` is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    hosts = Hosts(names)
    try:
        if complaint := hosts.build(slow):
            pytest.skip(f"no network namespaces can be made here: {complaint}")
        yield hosts
    finally:
        hosts.destroy()
