"""The options of the hub router."""

from typing import Annotated

from msgspec import Meta, Struct


class HubOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How readily the router changes its mind.

    - `hysteresis`: among several hubs that lead to a target the choice moves only to one that is better by this share
      (0.2: at most 80 % of the present one's round trip, load or distance). 0 follows every measurement.
    - `eject_after`: so many failures in a row, and a next hop comes last for a while.
    - `eject_time`: seconds of the first ejection; each further one in a row lasts this much longer.
    - `eject_time_max`: seconds an ejection lasts at most.
    """

    hysteresis: Annotated[float, Meta(ge=0.0, le=0.9)] = 0.2
    eject_after: Annotated[int, Meta(ge=1, le=1000)] = 5
    eject_time: Annotated[float, Meta(gt=0.0, le=3600.0)] = 10.0
    eject_time_max: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 300.0

    def __post_init__(self) -> None:
        if self.eject_time > self.eject_time_max:
            raise ValueError(
                f"eject_time ({self.eject_time} s) is over eject_time_max ({self.eject_time_max} s): raise the latter"
            )
