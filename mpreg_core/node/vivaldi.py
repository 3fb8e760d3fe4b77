"""Network coordinates: where a node lies among the others by round trips, so that any two round trips can be estimated.

Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network Coordinate System" (SIGCOMM 2004): section 3.4 for the
adaptive time step, 5.4 for the height, which stands for the way to the core of the network that all paths share.

A node starts where its place on the earth would have it, so that estimates are of use before anything was measured.
"""

from math import cos, hypot, radians, sin
from random import Random

from mpreg_core.contracts.members import Coordinates, NetworkCoordinates
from mpreg_core.units import NS_PER_S

ERROR_GAIN = 0.25
"""The paper's c_e: how much one sample tells of how good the coordinates are."""

STEP = 0.25
"""The paper's c_c: the part of the error that one sample may correct."""

ERROR_MAX = 1.5
ERROR_SEEDED = 0.5
"""Of coordinates that come from a place on the earth."""

FAR_US = 10_000.0
"""Nearer than this, an error counts as if the way were so long: neighbours must not shake what all else agrees on."""

HEIGHT_US_MIN = 50.0
EARTH_US = 63_757.0
"""The earth's radius as a round trip in fibre, µs."""

MOVED_US = 5_000.0
"""A move that the others are told of."""

PUBLISH_NS = 60 * NS_PER_S
"""At most so often."""

RTT_NS_MAX = 10 * NS_PER_S
"""A longer one is a broken measurement."""

PUSH_US_MAX = 100_000.0
"""What one sample moves a node at most: a forged place must not throw it across the world."""

_BOUND = 100_000_000
_Vector = tuple[float, float, float]
_EPSILON_US = 1.0


class Vivaldi:
    """One node's own coordinates. Pure: the same samples in the same order give the same coordinates."""

    def __init__(self, place: Coordinates | None, rng: Random) -> None:
        self._rng = rng
        self._position: _Vector = _on_earth(place) if place is not None else (0.0, 0.0, 0.0)
        self._height = HEIGHT_US_MIN
        self._error = ERROR_SEEDED if place is not None else ERROR_MAX
        self._publish_ns = 0
        self.published = self.current()

    def current(self) -> NetworkCoordinates:
        """Where the node is now."""
        x, y, z = (round(min(max(-_BOUND, each), _BOUND)) for each in self._position)
        return NetworkCoordinates(x, y, z, round(self._height), round(self._error * 1000))

    def sample(self, rtt_ns: int, peer: NetworkCoordinates) -> None:
        """A round trip to a member that published where it is: move towards where the two agree."""
        if not 0 < rtt_ns <= RTT_NS_MAX:
            return
        rtt_us = max(rtt_ns / 1000, _EPSILON_US)
        away = _minus(self._position, (peer.x_us, peer.y_us, peer.z_us))
        apart_us = hypot(*away)
        estimate_us = apart_us + self._height + peer.height_us
        weight = self._error / max(self._error + peer.error_permille / 1000, 1e-3)
        wrong = abs(estimate_us - rtt_us) / max(rtt_us, FAR_US)
        self._error = min(ERROR_MAX, wrong * ERROR_GAIN * weight + self._error * (1 - ERROR_GAIN * weight))
        force_us = min(max(-PUSH_US_MAX, STEP * weight * (rtt_us - estimate_us)), PUSH_US_MAX)
        direction = _unit(away, apart_us) if apart_us > _EPSILON_US else self._somewhere()
        x, y, z = self._position
        dx, dy, dz = direction
        self._position = (x + dx * force_us, y + dy * force_us, z + dz * force_us)
        if apart_us > _EPSILON_US:
            height = self._height + (self._height + peer.height_us) * force_us / apart_us
            self._height = min(max(HEIGHT_US_MIN, height), rtt_us)

    def should_publish(self, now_ns: int) -> bool:
        """True if the others had better know where this node is now; it is `published` then."""
        if now_ns < self._publish_ns:
            return False
        current, told = self.current(), self.published
        moved_us = current.apart_us(told) + abs(current.height_us - told.height_us)
        if moved_us < MOVED_US:
            return False
        self._publish_ns = now_ns + PUBLISH_NS
        self.published = current
        return True

    def _somewhere(self) -> _Vector:
        """Two nodes in one place have to part in some direction."""
        way = (self._rng.uniform(-1, 1), self._rng.uniform(-1, 1), self._rng.uniform(-1, 1))
        length = hypot(*way)
        return _unit(way, length) if length > 0 else (1.0, 0.0, 0.0)


def _on_earth(place: Coordinates) -> _Vector:
    """As if the way went straight through the earth: for most pairs no worse an estimate than along its surface."""
    latitude, longitude = radians(place.latitude), radians(place.longitude)
    level = EARTH_US * cos(latitude)
    return (level * cos(longitude), level * sin(longitude), EARTH_US * sin(latitude))


def _minus(a: _Vector, b: _Vector) -> _Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _unit(vector: _Vector, length: float) -> _Vector:
    return (vector[0] / length, vector[1] / length, vector[2] / length)
