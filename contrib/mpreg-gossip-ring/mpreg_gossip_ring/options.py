"""The options of `ring`."""

from typing import Annotated

from msgspec import Meta, Struct


class RingOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a node looks along the ring, and how often it compares. Times are seconds.

    - `successors`: members after this one that it passes an item on to. An item costs the pool so many copies for each
      member, and reaches the last one of n after about n / `successors` steps. That many dead neighbours in a row cut
      the ring, until the detector says so or a comparison goes around them.
    - `interval`: between two comparisons with a random member.
    """

    successors: Annotated[int, Meta(ge=1, le=16)] = 3
    interval: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
