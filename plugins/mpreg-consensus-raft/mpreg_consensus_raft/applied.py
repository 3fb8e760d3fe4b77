"""What the committed log led to: the last decision of each key, and the proposals that were decided lately.

A proposal's id is its session (section 8): the same id committed twice is applied once. The ids that are remembered
are a part of the state, so that all members forget the same ones.
"""

from collections import OrderedDict

from msgspec import Struct, msgpack

from mpreg_consensus_raft.messages import Cluster, Config, Entry
from mpreg_core import NodeId, Proposal

RECENT_MAX = 10_000
KEYS_MAX = 100_000
HELD_BYTES_MAX = 256 * 1024 * 1024


class Kept(Struct, frozen=True, array_like=True):
    """A key's last decision, its `instance`-th."""

    instance: int
    proposal: Proposal


class State(Struct, frozen=True, array_like=True):
    """A snapshot: all that the log up to `index` led to."""

    index: int
    term: int
    config: Config | None
    kept: tuple[Kept, ...]
    recent: tuple[str, ...]


class Batch(Struct, frozen=True, array_like=True, tag=1):
    """A journal record: the persistent state of figure 2. With entries, they replace the log from `first` on."""

    cluster: Cluster
    term: int
    vote: NodeId
    first: int
    entries: tuple[Entry, ...]


class Checkpoint(Struct, frozen=True, array_like=True, tag=2):
    """A journal record that stands for all before it: the state, and the log from `base` on."""

    cluster: Cluster | None
    term: int
    vote: NodeId
    base: int
    base_term: int
    base_config: Config | None
    state: State
    entries: tuple[Entry, ...]


Record = Batch | Checkpoint
encode = msgpack.Encoder().encode
records = msgpack.Decoder(Record)
states = msgpack.Decoder(State)


class Applied:
    """The state machine."""

    def __init__(self) -> None:
        self.index = 0
        self.held_bytes = 0
        self.keys: dict[str, Kept] = {}
        self.recent: OrderedDict[str, None] = OrderedDict()

    def has_room(self, proposal: Proposal) -> bool:
        """False where one more key, or so much more of values, would be too much."""
        if self.held_bytes + len(proposal.value) > HELD_BYTES_MAX:
            return False
        return proposal.key in self.keys or len(self.keys) < KEYS_MAX

    def apply(self, proposal: Proposal) -> int:
        """The proposal is committed: its place among the decisions of its key; 0 if it was applied before."""
        if proposal.id in self.recent:
            return 0
        self.recent[proposal.id] = None
        if len(self.recent) > RECENT_MAX:
            self.recent.popitem(last=False)
        before = self.keys.get(proposal.key)
        self.held_bytes += len(proposal.value) - (len(before.proposal.value) if before else 0)
        kept = Kept(before.instance + 1 if before else 1, proposal)
        self.keys[proposal.key] = kept
        return kept.instance

    def capture(self, term: int, config: Config | None) -> State:
        """The state now."""
        return State(self.index, term, config, tuple(self.keys.values()), tuple(self.recent))

    def restore(self, state: State) -> list[Kept]:
        """Take over a state; gives what is newer than what was here."""
        before = self.keys
        self.keys = {kept.proposal.key: kept for kept in state.kept}
        self.recent = OrderedDict.fromkeys(state.recent)
        self.held_bytes = sum(len(kept.proposal.value) for kept in state.kept)
        self.index = state.index
        return [kept for key, kept in self.keys.items() if key not in before or before[key].instance < kept.instance]
