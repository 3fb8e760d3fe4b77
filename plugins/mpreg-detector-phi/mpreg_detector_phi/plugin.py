"""What the entry point names: the spec of `phi`."""

from collections.abc import Sequence

from mpreg_core import FailureDetectorSpec, StrategyContext, hookimpl
from mpreg_detector_phi.machine import Phi
from mpreg_detector_phi.messages import Answer, Doubt, Heartbeat, PhiMessage
from mpreg_detector_phi.options import PhiOptions


def create(context: StrategyContext, options: PhiOptions) -> Phi:
    """Build the machine for one pool."""
    return Phi(context, options)


SPEC: FailureDetectorSpec[PhiOptions, PhiMessage] = FailureDetectorSpec(
    name="phi",
    summary="Phi accrual: suspects a member when its silence is too unlikely, given its past.",
    options=PhiOptions,
    messages=(Heartbeat, Answer, Doubt),
    create=create,
)


@hookimpl
def mpreg_failure_detectors() -> Sequence[FailureDetectorSpec[PhiOptions, PhiMessage]]:
    """Provide `phi`."""
    return (SPEC,)
