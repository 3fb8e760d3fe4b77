"""What may be asked of a running node: each command is one step of the core, then a wait for its outcome."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec

from mpreg_core.contracts.api import (
    Body,
    Cluster,
    Consistency,
    Decision,
    Json,
    PolicyName,
    Reply,
    Scope,
    StateEntry,
)
from mpreg_core.contracts.consensus import ProposalView
from mpreg_core.errors import (
    ConflictError,
    InvalidInputError,
    MpregError,
    NoQuorumError,
    NotFoundError,
    PayloadTooLargeError,
    UnavailableError,
)
from mpreg_core.ids import PoolTier
from mpreg_core.limits import REQUEST_BYTES_MAX, REQUEST_TIMEOUT_S_MAX
from mpreg_core.node.decisions import POOL_OF, DecisionMade, conflict
from mpreg_core.node.keeping import Written
from mpreg_core.node.pending import Outcome, check_hedge
from mpreg_core.runtime import clock
from mpreg_core.runtime.driver import Driver, Waiter
from mpreg_core.units import ns, seconds
from mpreg_core.wire.outcome import error_in
from mpreg_core.wire.payload import decode_payload, encode_payload

DURABLE_TIMEOUT_S = 10.0


class Commands:
    """Commands of one node, over its driver."""

    def __init__(self, driver: Driver, proposal_timeout_s: float) -> None:
        self._driver = driver
        self.proposal_timeout_s = proposal_timeout_s

    # requests

    async def request(
        self,
        service: str,
        payload: Body,
        *,
        target: str | None = None,
        timeout_s: float = 5.0,
        idempotent: bool = False,
        climb: PoolTier | None = None,
        hedge_s: float | None = None,
    ) -> Reply:
        """Ask a service. Raises the `RequestError` it ended with, `InvalidInputError`, `PayloadTooLargeError`."""
        if not 0 < timeout_s <= REQUEST_TIMEOUT_S_MAX:
            raise InvalidInputError(f"expected a timeout over 0 and up to {REQUEST_TIMEOUT_S_MAX} s, got {timeout_s}")
        check_hedge(hedge_s, idempotent=idempotent)
        encoded = encode_payload(payload)
        if len(encoded) > REQUEST_BYTES_MAX:
            raise PayloadTooLargeError(f"expected a payload of at most {REQUEST_BYTES_MAX} bytes, got {len(encoded)}")
        core = self._driver.command()
        if core.state.life == "stopped":
            raise UnavailableError("the node is stopping", where=core.state.id)
        token, waiter = self._driver.expect()
        node, cluster = core.registry.split_target(target)
        request_id = core.requests.ask(
            token,
            service,
            encoded,
            ns(timeout_s),
            idempotent=idempotent,
            node=node,
            cluster=cluster,
            climb=climb,
            hedge_ns=ns(hedge_s or 0),
        )
        self._driver.carry_out(core.finish())
        try:
            outcome = await self._driver.outcome(token, waiter)
        except BaseException:  # whoever asked was cancelled
            self._driver.command().requests.cancel(request_id)
            self._driver.carry_out(core.finish())
            raise
        assert isinstance(outcome, Outcome)
        reply = outcome.reply
        if reply.code:
            raise error_in(reply)
        return Reply(decode_payload(reply.payload), reply.where, reply.path, round(seconds(outcome.duration_ns), 6))

    # state

    async def put(
        self,
        key: str,
        value: Json,
        scope: Scope,
        policy: PolicyName | None,
        if_version: str | None,
        consistency: Consistency,
        timeout_s: float,
        ttl_s: float | None = None,
        *,
        ephemeral: bool = False,
    ) -> StateEntry:
        """Write a key."""
        if consistency == "linearizable" or policy == "consensus":
            if ttl_s is not None or ephemeral:
                raise InvalidInputError("a linearizable key does not end by itself: write without ttl", where=key)
            if policy not in (None, "consensus"):
                raise InvalidInputError(f"a linearizable write has policy consensus, got {policy}", where=key)
            await self._decide(key, value, scope, if_version, timeout_s)
            return self.read(key, scope)
        core = self._driver.command()
        self._check_writable()
        try:
            lease = core.leases.lease(ttl_s, ephemeral=ephemeral)
            entry = core.replication.put(key, value, scope, policy, if_version, lease)
            core.leases.hold(scope, key, value, lease)
            written = self._when_durable()
        finally:
            self._driver.carry_out(core.finish())
        await self._durable(written, timeout_s)
        return entry

    def _when_durable(self) -> tuple[int, Waiter]:
        token, waiter = self._driver.expect()
        self._driver.core.keeping.complete_when_durable(token)
        return token, waiter

    async def _durable(self, written: tuple[int, Waiter], timeout_s: float) -> None:
        try:
            with anyio.fail_after(timeout_s):
                await self._driver.outcome(*written)
        except TimeoutError:
            message = "the disk did not take the write in time; the pools have it, this node may forget it in a crash"
            late = UnavailableError(message, where=self._driver.core.state.id)
            late.definite = False
            raise late from None

    async def get(self, key: str, scope: Scope, consistency: Consistency, timeout_s: float) -> StateEntry:
        """Read a key."""
        if consistency == "linearizable":
            await self.confirm(scope, timeout_s)
        return self.read(key, scope)

    def read(self, key: str, scope: Scope) -> StateEntry:
        """The entry as it is here."""
        return self._driver.core.replication.get(key, scope)

    async def delete(
        self, key: str, scope: Scope, if_version: str | None, consistency: Consistency, timeout_s: float
    ) -> int:
        """Remove a key; gives the revision."""
        held = self.read(key, scope)
        if consistency == "linearizable" or held.policy == "consensus":
            await self._decide(key, None, scope, if_version, timeout_s, gone=True)
            return self._driver.core.replication.store.revision
        core = self._driver.command()
        self._check_writable()
        try:
            revision = core.replication.delete(key, scope, if_version)
            written = self._when_durable()
        finally:
            self._driver.carry_out(core.finish())
        await self._durable(written, timeout_s)
        return revision

    async def _decide(
        self, key: str, value: Json, scope: Scope, if_version: str | None, timeout_s: float, gone: bool = False
    ) -> None:
        end = anyio.current_time() + timeout_s
        while True:
            left_s = end - anyio.current_time()
            if if_version is not None:
                await self.confirm(scope, left_s)
                self._check_version(key, scope, if_version)
            made = await self._propose(key, value, scope, left_s, gone=gone, exactly_next=if_version is not None)
            if made.decided.status != "committed":
                raise self._undecided(made)
            if made.applied:
                return
            if if_version is None:
                raise conflict(key)
            # Another decision came before it. If that was a compare-and-set which lost as well, nothing has changed.

    def _check_version(self, key: str, scope: Scope, if_version: str) -> None:
        try:
            found = self.read(key, scope).version
        except NotFoundError:
            found = "0"
        if found != if_version:
            raise conflict(key)

    def _undecided(self, made: DecisionMade) -> MpregError:
        if made.decided.status == "rejected":
            return ConflictError("the voters rejected the write", where=made.decided.key)
        return NoQuorumError("no quorum in time: the write is undecided", where=self._driver.core.state.id)

    async def confirm(self, scope: Scope, timeout_s: float) -> None:
        """Wait until all that was committed before is here. Raises `NoQuorumError`."""
        core = self._driver.command()
        token, waiter = self._driver.expect()
        try:
            core.decisions.read(token, scope, ns(timeout_s))
        finally:
            self._driver.carry_out(core.finish())
        await self._driver.outcome(token, waiter)

    def _check_running(self) -> None:
        state = self._driver.core.state
        if state.life == "stopped":
            raise UnavailableError("the node is stopping", where=state.id)

    def _check_writable(self) -> None:
        self._check_running()
        if self._driver.journal.failure:
            message = f"the disk takes no writes: {self._driver.journal.failure}; make room, then retry"
            raise UnavailableError(message, where=self._driver.core.state.id)

    # proposals

    def in_pool_of(self, scope: Scope) -> PoolTier | None:
        """None if this node is in the pool that decides for a scope, else the tier to ask there."""
        core = self._driver.core
        return None if core.decisions.stack_for(scope) is not None else POOL_OF[scope] or "local"

    async def propose(self, key: str, value: Json, scope: Scope, timeout_s: float | None) -> DecisionMade:
        """Propose in this node's pool of the scope and wait for the end."""
        return await self._propose(key, value, scope, timeout_s or self.proposal_timeout_s)

    def start_proposal(self, key: str, value: Json, scope: Scope, timeout_s: float | None) -> str:
        """Propose and do not wait; gives the id."""
        core = self._driver.command()
        try:
            timeout_ns = ns(timeout_s or self.proposal_timeout_s)
            return core.decisions.propose(core.new_token(), scope, key, value, timeout_ns)
        finally:
            self._driver.carry_out(core.finish())

    async def _propose(
        self, key: str, value: Json, scope: Scope, timeout_s: float, *, gone: bool = False, exactly_next: bool = False
    ) -> DecisionMade:
        core = self._driver.command()
        token, waiter = self._driver.expect()
        try:
            core.decisions.propose(
                token, scope, key, value, ns(timeout_s), gone=gone, exactly_next=exactly_next
            )  # fmt: skip
        finally:
            self._driver.carry_out(core.finish())
        made = await self._driver.outcome(token, waiter)
        assert isinstance(made, DecisionMade)
        return made

    def vote(self, proposal: str, yes: bool) -> None:
        """This node's operator votes. Raises `NotFoundError`."""
        core = self._driver.command()
        try:
            core.decisions.vote(proposal, yes)
        finally:
            self._driver.carry_out(core.finish())

    def view(self, proposal: str) -> ProposalView | None:
        """A proposal as the engines know it."""
        core = self._driver.core
        for stack in core.state.lowest_first():
            for view in core.decisions.views(stack):
                if view.proposal.id == proposal:
                    return view
        return None

    # registry

    def register(self, cluster: Cluster) -> Cluster:
        """Register with this hub."""
        core = self._driver.command()
        try:
            return core.registry.register(cluster)
        finally:
            self._driver.carry_out(core.finish())

    def deregister(self, cluster: str) -> None:
        """Forget a cluster of this hub."""
        core = self._driver.command()
        try:
            core.registry.deregister(cluster)
        finally:
            self._driver.carry_out(core.finish())

    def heartbeat(self, cluster: str, load: float | None, status: str | None) -> Cluster:
        """A cluster of this hub lives."""
        core = self._driver.command()
        try:
            return core.registry.heartbeat(cluster, load, status)
        finally:
            self._driver.carry_out(core.finish())

    def serve(self, service: str) -> None:
        """Announce a service of this node."""
        core = self._driver.command()
        try:
            core.registry.serve(service)
        finally:
            self._driver.carry_out(core.finish())

    def unserve(self, service: str) -> None:
        """Announce that a service is no more."""
        core = self._driver.command()
        try:
            core.registry.unserve(service)
        finally:
            self._driver.carry_out(core.finish())

    # messages

    @asynccontextmanager
    async def subscribed(self, pattern: str, queue: str) -> AsyncIterator[int]:
        """Want messages while the context is open. Raises `InvalidInputError`, `OverloadedError`."""
        core = self._driver.command()
        try:
            token = core.messages.subscribe(pattern, queue)
        finally:
            self._driver.carry_out(core.finish())
        try:
            yield token
        finally:
            core = self._driver.command()
            core.messages.unsubscribe(token)
            self._driver.carry_out(core.finish())

    async def publish(self, topic: str, payload: Json) -> str:
        """Publish; gives the message's id."""
        encoded = msgspec.json.encode(payload)
        core = self._driver.command()
        self._check_running()
        try:
            return core.spread.publish(topic, encoded)
        finally:
            self._driver.carry_out(core.finish())

    async def publish_and_keep(self, topic: str, payload: Json) -> str:
        """Publish at least once; gives the message's id when it is durable here."""
        encoded = msgspec.json.encode(payload)
        core = self._driver.command()
        self._check_running()
        token, waiter = self._driver.expect()
        try:
            published = core.spread.publish(topic, encoded, at_least_once=True)
            core.messages.custody.log.then(lambda: core.state.complete(token, Written()))
        finally:
            self._driver.carry_out(core.finish())
        await self._durable((token, waiter), DURABLE_TIMEOUT_S)
        return published

    def measure(self) -> tuple[str, int]:
        """Begin to measure how a test message spreads: its id, and how many members should get it."""
        core = self._driver.command()
        try:
            return core.spread.measure()
        finally:
            self._driver.carry_out(core.finish())


def decision_from(made: DecisionMade, view: ProposalView | None, value: Json, key: str, created_ms: int) -> Decision:
    """The end of a proposal as users see it."""
    decided = made.decided
    return Decision(
        id=decided.proposal,
        key=key,
        value=value,
        proposer=decided.proposer,
        status=decided.status,
        votes=decided.votes,
        needed=view.needed if view is not None else 0,
        voters=view.voters if view is not None else len(decided.votes),
        created=created_ms / 1000,
        decided=clock.wall_ms() / 1000,
        threshold=view.threshold if view is not None else 0.5,
    )
