"""What the entry point names: the spec of `raft`."""

from collections.abc import Sequence

from mpreg_consensus_raft.machine import Raft
from mpreg_consensus_raft.messages import MESSAGES, RaftMessage
from mpreg_consensus_raft.options import RaftOptions
from mpreg_core import ConsensusContext, ConsensusSpec, hookimpl


def create(context: ConsensusContext, options: RaftOptions) -> Raft:
    """Build the machine for one pool. Raises `StorageError` for a journal of another engine."""
    return Raft(context, options)


SPEC: ConsensusSpec[RaftOptions, RaftMessage] = ConsensusSpec(
    name="raft",
    summary="A replicated log below an elected leader: ordered decisions, linearizable reads, changes of voters.",
    options=RaftOptions,
    messages=MESSAGES,
    create=create,
)


@hookimpl
def mpreg_consensus_engines() -> Sequence[ConsensusSpec[RaftOptions, RaftMessage]]:
    """Provide `raft`."""
    return (SPEC,)
