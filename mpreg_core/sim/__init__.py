"""The simulator: real nodes with real strategies under a virtual clock, on a network and disks that fail by seed."""

from mpreg_core.sim.network import Faults, Network
from mpreg_core.sim.world import SimNode, World

__all__ = ["Faults", "Network", "SimNode", "World"]
