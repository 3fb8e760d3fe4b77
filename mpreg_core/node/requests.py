"""Requests: where to hand them on, what each hop may spend, and how a reply finds its way back.

Every node on the way keeps a pending entry with a deadline: a reply, or the deadline, ends it. Each node spends one
hop, takes its own time off the budget, appends itself to `path` and never hands on to a node that `path` or an earlier
try names, whatever the router says: a bad router can be slow but cannot loop. A try that certainly delivered nothing
is followed by the next best one while budget remains; one that may have been delivered only if it is idempotent. Where
no way is left, though there was one a moment ago, the request waits for the next: hubs come back, clusters move.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush

from msgspec import structs

from mpreg_core.contracts.events import RequestDone
from mpreg_core.contracts.router import Forward, Target
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.ids import NodeId, PoolTier, Region
from mpreg_core.limits import DEDUPE_IDS_MAX, HOPS_MAX, REQUESTS_PENDING_MAX
from mpreg_core.node.actions import Abandon, Invoke
from mpreg_core.node.holding import Holding
from mpreg_core.node.locating import Locating, Place
from mpreg_core.node.pending import Outcome, Pending, Stays, ended_key
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS
from mpreg_core.wire.envelope import REQUEST_CHANNEL
from mpreg_core.wire.request import CancelFrame, ReplyFrame, RequestFrame

_DRAINING = "the node is draining"

HEDGE_HUBS = 4
"""A node that hands on to a hub leaves the second way to the hub, and goes it itself after so many times as long."""

HOP_RESERVE_NS = 2 * NS_PER_MS
"""Kept back at each hop, so that the answer `timeout` arrives before the caller gives up."""


class Requests:
    """The requests in flight at this node; bounded by `REQUESTS_PENDING_MAX`."""

    def __init__(self, state: NodeState, locating: Locating, holding: Holding) -> None:
        self._state = state
        self._locating = locating
        self._pending: dict[str, Pending] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._answered: OrderedDict[str, ReplyFrame] = OrderedDict()
        self._holding = holding
        self._stays = Stays()
        self._sequence = 0
        self.hand_to_client: Callable[[Invoke], bool] = lambda invoke: False
        self.over: Callable[[str], None] = lambda call: None
        self.call_off: Callable[[str], None] = lambda call: None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def running(self) -> int:
        """How many handlers run at this node."""
        return sum(1 for pending in self._pending.values() if pending.running)

    def next_deadline(self) -> int | None:
        """The earliest deadline; O(1)."""
        while self._deadlines and self._deadlines[0][1] not in self._pending:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def ask(
        self,
        answer: int | Callable[[Outcome], None],
        service: str,
        payload: bytes,
        timeout_ns: int,
        *,
        idempotent: bool = False,
        node: NodeId | None = None,
        cluster: str | None = None,
        region: Region | None = None,
        climb: PoolTier | None = None,
        hedge_ns: int = 0,
    ) -> str:
        """A caller at this node asks, and is answered within the time-out; a token by `Complete(token, Outcome)`.

        An idempotent request that has no answer after `hedge_ns` (0 = never) is sent a second way; the first answer
        counts (Dean and Barroso 2013, "The Tail at Scale", hedged requests). Gives the id, for `cancel`.
        """
        state = self._state
        if isinstance(answer, int):
            answer = partial(state.complete, answer)
        self._sequence += 1
        frame = RequestFrame(
            id=f"{state.id}/{state.settings.started_ms:x}/{self._sequence:x}",
            service=service,
            payload=payload,
            path=(state.id,),
            hops_left=HOPS_MAX,
            budget_ms=timeout_ns // NS_PER_MS,
            idempotent=idempotent,
            node=node,
            cluster=cluster,
            region=region,
            climb=climb,
            hedge_ms=hedge_ns // NS_PER_MS,
        )
        pending = Pending(frame, state.now_ns + timeout_ns, state.now_ns, None, answer)
        if self._admit(pending):
            self._go(pending)
        return frame.id

    def is_open(self, request_id: str) -> bool:
        """True while there is no answer."""
        return request_id in self._pending

    def cancel(self, request_id: str) -> None:
        """The caller here waits no longer. What was handed on or runs is called off; it may have taken effect."""
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            self._state.count("mpreg_requests_total", outcome="cancelled")
            self._call_off(pending)

    def on_cancel(self, source: NodeId, cancel: CancelFrame) -> None:
        """Whoever handed a request on to this node waits no longer."""
        pending = self._pending.get(cancel.id)
        if pending is not None and pending.previous == source:
            del self._pending[cancel.id]
            self._call_off(pending)

    def _call_off(self, pending: Pending) -> None:
        if pending.running:
            self.call_off(pending.frame.id)
            self._state.actions.append(Abandon(pending.frame.id))
        for hop in (pending.next_hop, pending.also):
            address = self._state.address_of(hop) if hop is not None else None
            if address is not None:
                self._state.transmit((address,), REQUEST_CHANNEL, "routing", CancelFrame(pending.frame.id))

    def on_request(self, source: NodeId, frame: RequestFrame) -> None:
        """A neighbour hands a request on to this node."""
        state = self._state
        answered = self._answered.get(frame.id)
        if answered is not None:
            self._send(source, answered)
            return
        here = structs.replace(frame, path=(*frame.path, state.id), hops_left=frame.hops_left - 1)
        budget_ns = frame.budget_ms * NS_PER_MS - HOP_RESERVE_NS
        pending = Pending(here, state.now_ns + budget_ns, state.now_ns, source, None)
        if state.id in frame.path or frame.id in self._pending:
            self._refuse(pending, "no_route", "the request has been here before", keep=False)
        elif frame.hops_left <= 0:
            self._refuse(pending, "budget_spent", "the hop budget is used up", keep=False)
        elif budget_ns <= 0:
            self._refuse(pending, "timeout", "the time budget is used up", keep=False)
        elif self._admit(pending):
            self._go(pending)

    def on_reply(self, source: NodeId, reply: ReplyFrame) -> None:
        """A neighbour answers. Only the one the request went to is believed."""
        pending = self._pending.get(reply.id)
        if pending is None or source not in (pending.next_hop, pending.also):
            self._state.count("mpreg_replies_unexpected_total")
            return
        if pending.also is not None and reply.code in _RETRIED:  # the other way may still bring an answer
            pending.next_hop = pending.also if source == pending.next_hop else pending.next_hop
            pending.also = None
            return
        if source == pending.next_hop:
            self._outcome(pending, ok=reply.code not in ("no_route", "timeout", "overloaded"))
        if reply.code in _RETRIED and self._may_retry(pending, reply.delivered):
            self._try_next(pending, reply)
        else:
            self._finish(pending, reply)

    def on_handled(self, call: str, code: str, payload: bytes, message: str) -> None:
        """A handler of this node returned (empty code) or failed."""
        pending = self._pending.get(call)
        if pending is None or not pending.running:
            return
        is_lost = bool(pending.cluster) and code == "unavailable"  # its endpoint took no connection
        reply = pending.reply(self._state.id, code, message, payload, delivered=not is_lost)
        if pending.cluster:
            self._locating.note(pending.cluster, ok=code not in _ENDPOINT_FAILED)
        if is_lost and self._may_retry(pending, delivered=False):
            pending.running = False
            self._try_next(pending, reply)
        else:
            self._remember(reply)
            self._finish(pending, reply)

    def on_unreachable(self, endpoint: Endpoint) -> None:
        """The transport could not reach a routing port: what waits there has not been delivered, or may have been."""
        for pending in [p for p in self._pending.values() if p.next_hop is not None]:
            address = self._state.address_of(pending.next_hop or "")
            if address is not None and (address.host, address.routing) == endpoint:
                self._lose(pending, "cannot be reached")

    def on_gone(self, node: NodeId) -> None:
        """A member failed or left: what may be asked twice goes elsewhere; the rest may still be answered."""
        for pending in [p for p in self._pending.values() if p.next_hop == node and p.frame.idempotent]:
            self._lose(pending, "is gone")

    def _lose(self, pending: Pending, why: str) -> None:
        self._outcome(pending, ok=False)
        lost = pending.reply(self._state.id, "no_route", f"{pending.next_hop} {why}", delivered=True)
        if self._may_retry(pending, delivered=True):
            self._try_next(pending, lost)
        else:
            self._finish(pending, lost)

    def on_deadline(self) -> None:
        """End what nobody waits for any more."""
        now_ns = self._state.now_ns
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            _, request_id = heappop(self._deadlines)
            pending = self._pending.get(request_id)
            if pending is None:
                continue
            if pending.hedge_ns is not None and pending.hedge_ns <= now_ns:
                self._hedge(pending)
            if pending.deadline_ns > now_ns:
                if pending.held:
                    self._go(pending)
            elif pending.held:
                self._refuse(pending, "timeout", f"no way in time: {pending.held}", delivered=pending.delivered)
            else:
                waiting = pending.next_hop or "the handler"
                if pending.next_hop is not None:
                    self._outcome(pending, ok=False)
                self._refuse(pending, "timeout", f"no reply in time from {waiting}", delivered=True)

    def _hedge_at(self, pending: Pending, in_ms: int) -> None:
        pending.hedge_ns = self._state.now_ns + in_ms * NS_PER_MS
        heappush(self._deadlines, (pending.hedge_ns, pending.frame.id))

    def _hedge(self, pending: Pending) -> None:
        """The answer is late: go another way as well, if there is one."""
        pending.hedge_ns = None
        first = pending.next_hop
        if first is None or pending.running or pending.deadline_ns <= self._state.now_ns:
            return
        if not self._start(pending):
            pending.also = first
            self._state.count("mpreg_requests_hedged_total")

    # where to

    def _go(self, pending: Pending) -> None:
        reason = self._start(pending)
        if reason and not self._hold(pending, reason):
            code = "unavailable" if reason == _DRAINING else "no_route"
            self._refuse(pending, code, reason, delivered=pending.delivered)

    def _hold(self, pending: Pending, reason: str) -> bool:
        """Wait for a way, if one may come soon."""
        wait_ns = None if reason == _DRAINING else self._holding.wait_ns(pending)
        if wait_ns is None:
            return False
        pending.held, pending.holds, pending.next_hop, pending.tried = reason, pending.holds + 1, None, frozenset()
        heappush(self._deadlines, (self._state.now_ns + wait_ns, pending.frame.id))
        return True

    def _start(self, pending: Pending) -> str:
        """Run the request here, or hand it on to the best next hop that is left; else why neither can be."""
        frame = pending.frame
        pending.held = ""
        avoid = frozenset(frame.path) | pending.tried
        reason = ""
        for place in self._locating.places(frame, avoid):
            if place.target is None:
                if self._state.draining and pending.answer is None:
                    return _DRAINING
                self._run(pending, place)
                return ""
            way = self._way(place.target, avoid, frame)
            if not isinstance(way, str):
                stack, route = way
                # Who is higher up knows more: the choice of a hub is left to the hub that leads the pool.
                sent = frame if route.next_hop == stack.hub else place.frame
                self._forward(pending, sent, stack, route)
                return ""
            reason = way
            pending.is_known = pending.is_known or place.is_known
        return reason or self._locating.why_not(frame)

    def _run(self, pending: Pending, place: Place) -> None:
        frame = pending.frame
        pending.running, pending.cluster = True, place.cluster
        pending.tried = pending.tried | {place.cluster} if place.cluster else pending.tried
        invoke = Invoke(frame.id, frame.service, frame.payload, frame.path, pending.deadline_ns, place.endpoint)
        if place.endpoint or not self.hand_to_client(invoke):
            self._state.actions.append(invoke)

    def _way(self, target: Target, avoid: frozenset[NodeId], frame: RequestFrame) -> tuple[PoolStack, Forward] | str:
        """The first pool, from the lowest up, whose router has a way; else the last refusal's reason."""
        reason = "this node is in no pool"
        for stack in self._state.lowest_first():
            if stack.router.stopped:
                continue
            try:
                route = stack.router.machine.route(target, avoid, frame.policy)
            except Exception as error:  # a router's bug must not cost the request
                stack.router_broke(error)
                continue
            if isinstance(route, Forward):
                if route.next_hop not in avoid and stack.table.member(route.next_hop) is not None:
                    return stack, route
                self._state.count("mpreg_router_repeats_total", pool=stack.pool)
                reason = f"the router of {stack.pool} named {route.next_hop}, which was visited or is unknown"
            else:
                reason = getattr(route, "reason", "the router says it is here, but it is not served here")
        return reason

    def _forward(self, pending: Pending, frame: RequestFrame, stack: PoolStack, route: Forward) -> None:
        member = stack.table.member(route.next_hop)
        assert member is not None
        now_ns = self._state.now_ns
        pending.next_hop, pending.pool, pending.sent_ns = route.next_hop, stack.pool, now_ns
        pending.tried = pending.tried | {route.next_hop}
        budget_ms = max(0, pending.deadline_ns - now_ns) // NS_PER_MS
        hedge_ms = 0
        if pending.hedge_ns is not None and frame.node is None:  # a hub, which knows more ways; if it lives
            hedge_ms = frame.hedge_ms
            self._hedge_at(pending, HEDGE_HUBS * hedge_ms)
        sent = structs.replace(frame, budget_ms=budget_ms, hedge_ms=hedge_ms)
        self._state.transmit((member.address,), REQUEST_CHANNEL, "routing", sent)

    def _may_retry(self, pending: Pending, delivered: bool) -> bool:
        return (pending.frame.idempotent or not delivered) and pending.deadline_ns > self._state.now_ns

    def _try_next(self, pending: Pending, otherwise: ReplyFrame) -> None:
        pending.delivered = pending.delivered or otherwise.delivered
        if self._start(pending) and not self._hold(pending, otherwise.message):
            self._finish(pending, otherwise)

    # the end

    def _admit(self, pending: Pending) -> bool:
        if len(self._pending) >= REQUESTS_PENDING_MAX:
            full = pending.reply(self._state.id, "overloaded", f"{REQUESTS_PENDING_MAX} requests wait here")
            self._answer(pending, structs.replace(full, retry_after_ms=self._stays.retry_after_ms))
            return False
        self._pending[pending.frame.id] = pending
        if pending.frame.hedge_ms > 0 and pending.frame.idempotent:
            self._hedge_at(pending, pending.frame.hedge_ms)
        heappush(self._deadlines, (pending.deadline_ns, pending.frame.id))
        return True

    def _refuse(self, pending: Pending, code: str, message: str, *, keep: bool = True, delivered: bool = False) -> None:
        reply = pending.reply(self._state.id, code, message, delivered=delivered)
        if keep:
            self._finish(pending, reply)
        else:
            self._answer(pending, reply)

    def _finish(self, pending: Pending, reply: ReplyFrame) -> None:
        self._pending.pop(reply.id, None)
        self._stays.note(self._state.now_ns - pending.started_ns)
        if reply.code not in _RETRIED:
            self._holding.answered(pending.frame)
        if pending.running:
            self.over(reply.id)
        self._answer(pending, reply)

    def _answer(self, pending: Pending, reply: ReplyFrame) -> None:
        state = self._state
        if pending.previous is not None:
            self._send(pending.previous, reply)
            return
        if pending.answer is not None:
            duration_ns = state.now_ns - pending.started_ns
            outcome = reply.code or "ok"
            key = ended_key(outcome)
            state.counters[key] = state.counters.get(key, 0) + 1
            state.emit(None, RequestDone(pending.frame.service, outcome, len(reply.path) - 1, duration_ns))
            pending.answer(Outcome(reply, duration_ns))

    def _send(self, to: NodeId, reply: ReplyFrame) -> None:
        address = self._state.address_of(to)
        if address is None:
            self._state.count("mpreg_replies_lost_total")
        else:
            self._state.transmit((address,), REQUEST_CHANNEL, "routing", reply)

    def _remember(self, reply: ReplyFrame) -> None:
        """A handler ran: the same request id must get the same answer, not a second run."""
        self._answered[reply.id] = reply
        if len(self._answered) > min(DEDUPE_IDS_MAX, 1024):
            self._answered.popitem(last=False)

    def _outcome(self, pending: Pending, *, ok: bool) -> None:
        stack = self._state.stacks.get(pending.pool)
        if stack is not None and pending.next_hop is not None:
            stack.call(stack.router, "on_outcome", pending.next_hop, ok, self._state.now_ns - pending.sent_ns)


_ENDPOINT_FAILED = frozenset(("unavailable", "timeout", "handler_failed"))
_RETRIED = frozenset(("no_route", "overloaded", "unavailable", "timeout"))
"""Outcomes after which another way is worth a try."""
