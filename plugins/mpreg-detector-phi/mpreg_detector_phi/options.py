"""The options of `phi`: those shared with `swim`, so that a tier can swap the two, and its own. Times are seconds."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0.01, le=3600)]


class PhiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often to ask, how sure to be, how long a suspect may defend itself.

    - `probe_interval`: between two heartbeats to each member watched.
    - `probe_timeout`: a heartbeat without an answer for this long is repeated by stream: blocked datagrams are not
      death. It may be longer than the interval.
    - `suspicion_timeout`: how long a suspect has to answer before it is failed; None means 4 intervals. Once a second
      watcher says the same, one interval is enough.
    - `threshold`: the phi at which a member is suspected: 8 means one false alarm in 10^8 arrivals, if they were
      distributed as in the window.
    - `window`: intervals between answers that are remembered for each member watched.
    - `min_deviation`: the least standard deviation assumed; None means a tenth of the interval. Without it a steady
      network makes the detector nervous.
    - `acceptable_pause`: silence that is added to the mean, for garbage collections, lost answers and the like; None
      means 2 intervals.
    - `first_estimate`: the interval assumed before any was measured; None means `probe_interval`.
    - `watchers`: each member is watched by this many others, its predecessors on a ring, in pools that are larger. A
      node's load does not depend on the pool's size.
    """

    probe_interval: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    probe_timeout: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    suspicion_timeout: Seconds | None = None
    threshold: Annotated[float, Meta(ge=0.5, le=100)] = 8.0
    window: Annotated[int, Meta(ge=4, le=10_000)] = 200
    min_deviation: Seconds | None = None
    acceptable_pause: Annotated[float, Meta(ge=0, le=3600)] | None = None
    first_estimate: Seconds | None = None
    watchers: Annotated[int, Meta(ge=2, le=64)] = 5

    def __post_init__(self) -> None:
        if self.suspicion_timeout is not None and self.suspicion_timeout < self.probe_interval:
            raise ValueError(
                f"expected suspicion_timeout of at least probe_interval ({self.probe_interval} s), "
                f"got {self.suspicion_timeout}: a suspect needs time to answer"
            )
