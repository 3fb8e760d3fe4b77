"""What the entry point names: the spec of `quorum`."""

from collections.abc import Sequence

from mpreg_consensus_quorum.machine import Quorum
from mpreg_consensus_quorum.messages import (
    Accept,
    Commit,
    Fetch,
    Handover,
    Inquire,
    Inventory,
    Legacy,
    Nack,
    Prepare,
    Promise,
    QuorumMessage,
    Reject,
    Seats,
    Vote,
)
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_core import ConsensusContext, ConsensusSpec, hookimpl


def create(context: ConsensusContext, options: QuorumOptions) -> Quorum:
    """Build the machine for one pool. Raises `StorageError` for a journal of another engine."""
    return Quorum(context, options)


SPEC: ConsensusSpec[QuorumOptions, QuorumMessage] = ConsensusSpec(
    name="quorum",
    summary="Leaderless votes on single decisions: Paxos with a threshold, durable yes and no votes, quorum reads.",
    options=QuorumOptions,
    messages=(
        Prepare,
        Promise,
        Accept,
        Vote,
        Nack,
        Commit,
        Reject,
        Fetch,
        Inquire,
        Inventory,
        Seats,
        Handover,
        Legacy,
    ),
    create=create,
)


@hookimpl
def mpreg_consensus_engines() -> Sequence[ConsensusSpec[QuorumOptions, QuorumMessage]]:
    """Provide `quorum`."""
    return (SPEC,)
