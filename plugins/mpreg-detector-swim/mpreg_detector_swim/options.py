"""The options of `swim`: the guide's keys and those of Lifeguard. Times are seconds."""

from typing import Annotated

from msgspec import Meta, Struct


class SwimOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often to probe, how long to wait, how long a suspect may defend itself.

    - `probe_interval`: between two probes of this node. One member is probed each time, so a node's load does not
      depend on the pool's size; the first suspicion of a dead member comes after 1.6 intervals on average.
    - `probe_timeout`: how long the direct probe is waited for, and then again how long the indirect ones are. Above
      the slowest round trip in the pool; it may be longer than the interval, probes then overlap.
    - `suspicion_timeout`: the longest that a suspect has to refute. None (the choice for most) means
      `suspicion_mult * max(1, log10(n)) * probe_interval` in a pool of n. Confirmations by other members shorten it
      to a third.
    - `indirect_checks`: members that are asked to probe in this node's stead, and to give a second opinion.
    - `suspicion_mult`: the factor above; `suspicion_mult - 2` confirmations bring the shortest time.
    - `retransmit_mult`: an update rides on `retransmit_mult * ceil(log10(n + 1))` messages of a node.
    - `awareness_max`: Lifeguard's local health: a node in trouble probes up to this many times slower.
    """

    probe_interval: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    probe_timeout: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    suspicion_timeout: Annotated[float, Meta(ge=0.05, le=3600)] | None = None
    indirect_checks: Annotated[int, Meta(ge=0, le=16)] = 3
    suspicion_mult: Annotated[int, Meta(ge=1, le=32)] = 4
    retransmit_mult: Annotated[int, Meta(ge=1, le=16)] = 4
    awareness_max: Annotated[int, Meta(ge=1, le=16)] = 8

    def __post_init__(self) -> None:
        if self.suspicion_timeout is not None and self.suspicion_timeout < self.probe_interval:
            raise ValueError(
                f"expected suspicion_timeout of at least probe_interval ({self.probe_interval} s), "
                f"got {self.suspicion_timeout}: a suspect needs time to refute"
            )
