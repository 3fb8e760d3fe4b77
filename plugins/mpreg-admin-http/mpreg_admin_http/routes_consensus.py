"""Consensus: how the engines stand, proposals and votes."""

from collections import Counter

from mpreg_admin_http.call import Call
from mpreg_admin_http.messages import (
    Nothing,
    ProposalAnswer,
    ProposalsAnswer,
    ProposeBody,
    ProposeQuery,
    Tally,
    VoteBody,
    VotesAnswer,
)
from mpreg_admin_http.route import Answer, AnyRoute, Route
from mpreg_core import Decision, Json, NotFoundError


def proposal_answer(decision: Decision) -> ProposalAnswer:
    """A proposal with the share of voters it needs."""
    return ProposalAnswer(
        id=decision.id,
        key=decision.key,
        value=decision.value,
        proposer=decision.proposer,
        status=decision.status,
        votes=decision.votes,
        threshold=decision.threshold,
        needed=decision.needed,
        voters=decision.voters,
        created=decision.created,
        decided=decision.decided,
    )


async def consensus_status(call: Call[Nothing, Nothing]) -> Json:
    return call.node.consensus_status()


async def proposals(call: Call[Nothing, Nothing]) -> ProposalsAnswer:
    return ProposalsAnswer([proposal_answer(decision) for decision in call.node.proposals()])


async def proposal(call: Call[Nothing, Nothing]) -> ProposalAnswer:
    wanted = call.path["id"]
    for decision in call.node.proposals():
        if decision.id == wanted:
            return proposal_answer(decision)
    raise NotFoundError("no open or recent proposal has this id", where=wanted)


async def propose(call: Call[ProposeQuery, ProposeBody]) -> Answer:
    body, wait = call.body, call.query.wait
    decision = await call.node.propose(body.key, body.value, scope=body.scope, timeout=body.timeout, wait=wait)
    return Answer(200 if wait else 202, proposal_answer(decision))


async def vote(call: Call[Nothing, VoteBody]) -> ProposalAnswer:
    return proposal_answer(await call.node.vote(call.path["id"], call.body.vote in (True, "yes")))


async def votes(call: Call[Nothing, Nothing]) -> VotesAnswer:
    known = call.node.proposals()
    cast = Counter((voter, yes) for decision in known for voter, yes in decision.votes.items())
    voters = sorted({voter for voter, _ in cast})
    return VotesAnswer(
        proposals=len(known),
        by_status=dict(sorted(Counter(decision.status for decision in known).items())),
        voters={voter: Tally(cast[voter, True], cast[voter, False]) for voter in voters},
    )


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET", path="/api/consensus/status", role="viewer", handler=consensus_status, query=Nothing,
        body=Nothing, answer=dict[str, Json], summary="The engine of each pool: strategy, voters, leader.",
    ),
    Route(
        method="GET", path="/api/consensus/proposals", role="viewer", handler=proposals, query=Nothing, body=Nothing,
        answer=ProposalsAnswer, summary="Open and recently ended proposals.",
    ),
    Route(
        method="POST", path="/api/consensus/proposals", role="operator", handler=propose, query=ProposeQuery,
        body=ProposeBody, answer=ProposalAnswer, others=(202,), summary="Proposes; 202 with `wait=false`.",
    ),
    Route(
        method="GET", path="/api/consensus/proposals/{id}", role="viewer", handler=proposal, query=Nothing,
        body=Nothing, answer=ProposalAnswer, summary="One proposal.",
    ),
    Route(
        method="POST", path="/api/consensus/proposals/{id}/votes", role="operator", handler=vote, query=Nothing,
        body=VoteBody, answer=ProposalAnswer, summary="Casts this node's vote by hand.",
    ),
    Route(
        method="GET", path="/api/consensus/votes", role="viewer", handler=votes, query=Nothing, body=Nothing,
        answer=VotesAnswer, summary="Statistics over the proposals and votes known here.",
    ),
)  # fmt: skip
