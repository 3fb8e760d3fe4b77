"""A switch in user space: frames between hosts come late, out of order or not at all, as told, for each way.

The hosts' `eth0` are TAP devices that this process holds, so that UDP and TCP, their acknowledgements and their first
packets are all held back alike, as by a long line; the kernels know nothing of it. It runs as a program: its arguments
are the namespaces of the hosts, and each line of its input sets one way (see `Way`).
"""

import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import sys
import time
from typing import NamedTuple

from namespaces import inside

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_BYTES = 65_536
READS_A_TURN = 64
WAITING_MAX = 100_000
"""Frames held back at once; further ones are lost, as in any full queue."""


class Way(NamedTuple):
    """From one host to another: held back by `delay_ms`, up to `jitter_ms` more by chance each; a share is lost.

    Jitter brings frames out of order, for each is held back on its own.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0


def tap(namespace):
    """A new TAP device `eth0` in a namespace; it lasts as long as what this gives is open."""
    with inside(namespace):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
    return device


class Frames:
    """The frames on their ways between ports, and where each address was last seen."""

    def __init__(self, ports, rng):
        self._ports = ports
        self._rng = rng
        self._at = {}  # hardware address -> port
        self._waiting = []  # (when, order, port, frame)
        self._order = 0
        self.ways = {}

    def take(self, now_s, port, frame):
        """A host sent a frame: to the port of its address, or to all."""
        target, source = frame[:6], frame[6:12]
        self._at[source] = port
        to = self._at.get(target)
        for other in self._ports if to is None else (to,):
            way = self.ways.get((port, other), Way())
            if other != port and self._rng.random() >= way.loss and len(self._waiting) < WAITING_MAX:
                self._order += 1
                late_s = (way.delay_ms + way.jitter_ms * self._rng.random()) / 1000
                heapq.heappush(self._waiting, (now_s + late_s, self._order, other, frame))

    def due(self, now_s):
        """The frames whose time has come, as (port, frame)."""
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, port, frame = heapq.heappop(self._waiting)
            yield port, frame

    def wait_s(self, now_s):
        """Until the next is due; None for ever."""
        return max(0.0, self._waiting[0][0] - now_s) if self._waiting else None


def forward(namespaces):
    """Carry frames until the input ends."""
    devices = [tap(each) for each in namespaces]
    frames = Frames(range(len(devices)), random.Random(1))
    selector = selectors.DefaultSelector()
    for port, device in enumerate(devices):
        selector.register(device, selectors.EVENT_READ, port)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select(frames.wait_s(time.monotonic())):
            if key.data is None:
                line = sys.stdin.readline()
                if not line:
                    return
                source, target, *way = line.split()
                frames.ways[int(source), int(target)] = Way(*map(float, way))
                print("set", flush=True)
                continue
            for _ in range(READS_A_TURN):
                try:
                    frames.take(time.monotonic(), key.data, os.read(key.fd, FRAME_BYTES))
                except OSError:  # nothing more, or the device is down
                    break
        for port, frame in frames.due(time.monotonic()):
            try:
                os.write(devices[port], frame)
            except OSError:  # the host takes no more, or is gone
                pass


class SlowSwitch:
    """The program, for whoever builds the hosts; `set` changes the way from one host to another."""

    def __init__(self, namespaces):
        command = (sys.executable, __file__, *namespaces)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def _expect(self, word):
        line = self._process.stdout.readline().strip()
        if line != word:
            raise OSError(f"the switch said {line!r} for {word!r}: may this process open /dev/net/tun?")

    def set(self, source, target, way):
        """The ports are the places of the namespaces; the way holds for frames sent from now on."""
        self._process.stdin.write(" ".join(map(str, (source, target, *way))) + "\n")
        self._process.stdin.flush()
        self._expect("set")

    def close(self):
        """Unplug all."""
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


if __name__ == "__main__":
    forward(sys.argv[1:])
