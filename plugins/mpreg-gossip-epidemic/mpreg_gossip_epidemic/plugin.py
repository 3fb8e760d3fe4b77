"""What the entry point names: the specs of the four target selections. They speak one protocol and may be mixed."""

from collections.abc import Sequence

from mpreg_core import GossipContext, GossipSpec, hookimpl
from mpreg_gossip_epidemic.machine import EpidemicMachine
from mpreg_gossip_epidemic.messages import MESSAGES, EpidemicMessage
from mpreg_gossip_epidemic.options import EpidemicOptions
from mpreg_gossip_epidemic.selection import HYBRID, PROXIMITY, RANDOM, TOPOLOGY_AWARE, Selection

EpidemicSpec = GossipSpec[EpidemicOptions, EpidemicMessage]


def _spec(name: str, selection: Selection, summary: str) -> EpidemicSpec:
    def create(context: GossipContext, options: EpidemicOptions) -> EpidemicMachine:
        return EpidemicMachine(context, options, selection)

    return GossipSpec(
        name=name, summary=summary, options=EpidemicOptions, messages=MESSAGES, create=create, protocol="epidemic"
    )


SPECS: tuple[EpidemicSpec, ...] = (
    _spec("random", RANDOM, "Epidemic gossip to members chosen evenly: for pools in one place."),
    _spec("proximity", PROXIMITY, "Epidemic gossip to near members by round trip or distance, to far ones at times."),
    _spec(
        "topology_aware",
        TOPOLOGY_AWARE,
        "Epidemic gossip within a region; an item crosses to each other once or twice.",
    ),
    _spec(
        "hybrid",
        HYBRID,
        "Epidemic gossip within a region to near members, across as topology_aware, and at times to anyone.",
    ),
)


@hookimpl
def mpreg_gossip_strategies() -> Sequence[EpidemicSpec]:
    """Provide `random`, `proximity`, `topology_aware` and `hybrid`."""
    return SPECS
