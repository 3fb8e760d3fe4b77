"""Requests and replies between nodes, on `REQUEST_CHANNEL` of the routing plane, always by stream."""

from msgspec import Struct

from mpreg_core.contracts.router import Policy
from mpreg_core.ids import NodeId, PoolTier, Region


class RequestFrame(Struct, frozen=True, array_like=True, tag=1, kw_only=True):
    """A request on its way.

    `id` is unique in the federation and stays the same over all hops. `path` are the nodes visited, the caller first.
    `hops_left` and `budget_ms` are what may still be spent. `node`, `cluster`, `hub` and `region` narrow the target;
    `climb` asks for the nearest member of the global or regional pool above instead. After `hedge_ms` without an answer
    the node that knows the places sends an idempotent one to another as well, 0 = never.
    """

    id: str
    service: str
    payload: bytes
    path: tuple[NodeId, ...]
    hops_left: int
    budget_ms: int
    idempotent: bool = False
    node: NodeId | None = None
    cluster: str | None = None
    hub: NodeId | None = None
    region: Region | None = None
    climb: PoolTier | None = None
    policy: Policy = "optimal"
    hedge_ms: int = 0


class ReplyFrame(Struct, frozen=True, array_like=True, tag=2, kw_only=True):
    """The outcome, walking the path back. `code` is empty for a success, else an error's code.

    `where` is the node that served or gave up; `delivered` tells whether a handler may have run. One that is overloaded
    says after how long another try makes sense.
    """

    id: str
    code: str
    payload: bytes
    where: NodeId
    path: tuple[NodeId, ...]
    message: str = ""
    delivered: bool = False
    retry_after_ms: int = 0


class CancelFrame(Struct, frozen=True, array_like=True, tag=3):
    """Whoever handed a request on waits for it no longer: stop working for it. It walks the request's way."""

    id: str


RequestMessage = RequestFrame | ReplyFrame | CancelFrame
