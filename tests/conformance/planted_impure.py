"""A detector whose module looks at the clock: planted for the check `purity`."""

import time

from mpreg_core.contracts.strategy import FailureDetectorSpec
from mpreg_core.testing.stand_ins import Beat, Heartbeats, NoOptions


class Impure(Heartbeats):
    started_s = time.time()


SPEC = FailureDetectorSpec(name="impure", summary="", options=NoOptions, messages=(Beat,), create=Impure)
