"""A pool of bare machines in the simulator, whose neighbours of other families are stand-ins."""

import pytest

from mpreg_core.testing import Subject
from mpreg_gossip_plumtree.options import PlumtreeOptions
from mpreg_gossip_plumtree.plugin import SPEC


class Grove:
    """A pool that runs plumtree; `machine(node)` looks inside."""

    def __init__(self, nodes, seed=1, loss=0.0, **options):
        self.pool = Subject(SPEC, PlumtreeOptions(**options)).pool(nodes, seed, loss=loss)
        self.world = self.pool.world
        self.ids = list(self.pool.ids)

    def machine(self, node):
        return self.world.nodes[node].core.state.stacks["local:hub"].gossip.machine

    def snapshots(self):
        return [self.machine(node).snapshot() for node in self.pool.alive()]

    def links(self):
        """Both directions of every link: (from, to)."""
        return {(node, peer) for node in self.pool.alive() for peer in self.machine(node)._links.linked}

    def component(self):
        """The members that can be reached from the hub over links."""
        links, reached, rest = self.links(), {"hub"}, ["hub"]
        while rest:
            at = rest.pop()
            found = {peer for node, peer in links if node == at} - reached
            reached |= found
            rest += sorted(found)
        return reached

    def reached(self, key):
        return sum(value is not None for value in self.pool.values(key).values())

    def total(self, name):
        return sum(getattr(each, name) for each in self.snapshots())


@pytest.fixture
def grove():
    return Grove
