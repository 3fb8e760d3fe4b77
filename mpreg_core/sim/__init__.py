"""The simulator: real nodes with real strategies under a virtual clock, on a network and disks that fail by seed."""

from mpreg_core.sim.disk import Disk, DiskFaults
from mpreg_core.sim.faults import KINDS, Fault, parse_faults
from mpreg_core.sim.fleet import Fleet, parse_shape
from mpreg_core.sim.linearizability import Operation, not_linearizable, register
from mpreg_core.sim.network import Faults, Link, Network
from mpreg_core.sim.scenario import Outcome, Plan, Run
from mpreg_core.sim.shrink import shrunk
from mpreg_core.sim.world import RunawayError, SimNode, World

__all__ = [
    "KINDS",
    "Disk",
    "DiskFaults",
    "Fault",
    "Faults",
    "Fleet",
    "Link",
    "Network",
    "Operation",
    "Outcome",
    "Plan",
    "Run",
    "RunawayError",
    "SimNode",
    "World",
    "not_linearizable",
    "parse_faults",
    "parse_shape",
    "register",
    "shrunk",
]
