"""The simulated disk of a node: what is durable, and what goes wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from mpreg_core.node.actions import WriteRecord
from mpreg_core.units import NS_PER_S

SYNC_NS = 300_000
"""A record is durable after this, as on a usual SSD."""


@dataclass(slots=True)
class DiskFaults:
    """`slow_s` comes on top of each write; a `failing` or `full` disk makes nothing durable until it is mended.

    `torn` and `forgets` show at a crash: a torn disk holds some of the records that were under way, the next of them
    cut short, which recovery drops; one that forgets has lost so many records that it said were durable (Pillai et al.,
    OSDI 2014).
    """

    slow_s: float = 0.0
    failing: bool = False
    full: bool = False
    torn: bool = False
    forgets: float = 0.0


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

    def crash(self, under_way: Sequence[WriteRecord], rng: Random) -> None:
        """The process or the machine died while these records were being written."""
        if self.faults.torn and under_way:
            for each in under_way[: rng.randrange(len(under_way) + 1)]:
                self.append(each.journal, each.record, checkpoint=each.checkpoint)
        if self.faults.forgets:
            for held in self.journals.values():
                del held[max(0, len(held) - int(self.faults.forgets)) :]

    def records(self) -> dict[str, tuple[bytes, ...]]:
        """What a restart finds."""
        return {name: tuple(held) for name, held in self.journals.items()}

    def wipe(self) -> None:
        """Another disk: nothing on it."""
        self.journals.clear()
