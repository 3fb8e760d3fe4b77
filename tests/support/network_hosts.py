"""Hosts for nodes: network namespaces joined by a switch, and the way to a node's HTTP API inside of one."""

import ctypes
import http.client
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000  # linux/sched.h


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


@contextmanager
def inside(namespace):
    """Let this thread make its sockets in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path):
        with open(path) as file:
            if libc.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {path}")

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(f"/run/netns/{namespace}")
    try:
        yield
    finally:
        enter(home)


class Hosts:
    """Namespaces `<prefix>-<n>` at 10.87.0.<n>, joined by a bridge in `<prefix>-switch`; each knows all by name."""

    def __init__(self, names):
        self.prefix = f"mpreg{os.getpid()}"
        self.switch = f"{self.prefix}-switch"
        self.of = {name: f"{self.prefix}-{number}" for number, name in enumerate(names, 1)}
        self.files = Path("/etc/netns")

    def build(self):
        """Gives why it cannot be done, or nothing."""
        steps = [
            f"netns add {self.switch}",
            f"-n {self.switch} link add bridge type bridge forward_delay 0",
            f"-n {self.switch} link set bridge up",
        ]
        for number, host in enumerate(self.of.values(), 1):
            steps += [
                f"netns add {host}",
                f"-n {host} link add eth0 type veth peer name port{number} netns {self.switch}",
                f"-n {self.switch} link set port{number} master bridge up",
                f"-n {host} address add 10.87.0.{number}/24 dev eth0",
                f"-n {host} link set lo up",
                f"-n {host} link set eth0 up",
                f"-n {host} route add default via 10.87.0.254",
                f"netns exec {host} true",
            ]
        for step in steps:
            if complaint := ip(*step.split()):
                return f"`ip {step}`: {complaint}"
        table = "127.0.0.1 localhost\n" + "".join(f"10.87.0.{n} {name}\n" for n, name in enumerate(self.of, 1))
        for host in self.of.values():
            folder = self.files / host  # `ip netns exec` lays it over /etc
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(table)
        return ""

    def address(self, name):
        """Where a host is."""
        return f"10.87.0.{list(self.of).index(name) + 1}"

    def destroy(self):
        for host in (*self.of.values(), self.switch):
            ip("netns", "delete", host)
            shutil.rmtree(self.files / host, ignore_errors=True)


@contextmanager
def network_of(names):
    """A switch with a host for each name; skips the test where none can be made."""
    if shutil.which("ip") is None:
        pytest.skip("the command `ip` is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    hosts = Hosts(names)
    try:
        if complaint := hosts.build():
            pytest.skip(f"no network namespaces can be made here: {complaint}")
        yield hosts
    finally:
        hosts.destroy()
