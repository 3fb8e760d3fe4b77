"""The simulated disk of a node: what is durable, and what goes wrong with it."""

from dataclasses import dataclass, field

from mpreg_core.units import NS_PER_S

SYNC_NS = 300_000
"""A record is durable after this, as on a usual SSD."""


@dataclass(slots=True)
class DiskFaults:
    """`slow_s` comes on top of each write; a `failing` or `full` disk makes nothing durable until it is mended."""

    slow_s: float = 0.0
    failing: bool = False
    full: bool = False


@dataclass(slots=True)
class Disk:
    """Records by journal, in order. `faults` may be changed at any time."""

    journals: dict[str, list[bytes]] = field(default_factory=dict)
    faults: DiskFaults = field(default_factory=DiskFaults)

    def write_ns(self) -> int:
        """How long a write takes now."""
        return SYNC_NS + round(self.faults.slow_s * NS_PER_S)

    @property
    def error(self) -> str:
        """Why nothing can be written now; empty if it can."""
        return "no space left on device" if self.faults.full else "input/output error" if self.faults.failing else ""

    def append(self, journal: str, record: bytes, *, checkpoint: bool) -> None:
        """A record is durable from now on; a checkpoint takes the place of all before it."""
        held = self.journals.setdefault(journal, [])
        if checkpoint:
            held.clear()
        held.append(record)

    def records(self) -> dict[str, tuple[bytes, ...]]:
        """What a restart finds."""
        return {name: tuple(held) for name, held in self.journals.items()}

    def wipe(self) -> None:
        """Another disk: nothing on it."""
        self.journals.clear()
