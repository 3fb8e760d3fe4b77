"""The simulator: real nodes with real strategies under a virtual clock, on a network and disks that fail by seed."""

from mpreg_core.sim.disk import Disk, DiskFaults
from mpreg_core.sim.fleet import Fleet
from mpreg_core.sim.network import Faults, Link, Network
from mpreg_core.sim.world import RunawayError, SimNode, World

__all__ = ["Disk", "DiskFaults", "Faults", "Fleet", "Link", "Network", "RunawayError", "SimNode", "World"]
