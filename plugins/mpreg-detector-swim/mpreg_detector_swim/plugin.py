"""What the entry point names: the spec of `swim`."""

from collections.abc import Sequence

from mpreg_core import FailureDetectorSpec, StrategyContext, hookimpl
from mpreg_detector_swim.machine import Swim
from mpreg_detector_swim.messages import Ack, Nack, News, NotMe, Ping, PingRequest, SwimMessage
from mpreg_detector_swim.options import SwimOptions


def create(context: StrategyContext, options: SwimOptions) -> Swim:
    """Build the machine for one pool."""
    return Swim(context, options)


SPEC: FailureDetectorSpec[SwimOptions, SwimMessage] = FailureDetectorSpec(
    name="swim",
    summary="SWIM with Lifeguard: direct and indirect probes, suspicion, refutation.",
    options=SwimOptions,
    messages=(Ping, Ack, PingRequest, Nack, NotMe, News),
    create=create,
)


@hookimpl
def mpreg_failure_detectors() -> Sequence[FailureDetectorSpec[SwimOptions, SwimMessage]]:
    """Provide `swim`."""
    return (SPEC,)
