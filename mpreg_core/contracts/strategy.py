"""The spec: how a plugin describes a strategy so that a deployment can choose it by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from mpreg_core.contracts.consensus import ConsensusEngine
from mpreg_core.contracts.context import ConsensusContext, GossipContext, StrategyContext
from mpreg_core.contracts.failure_detector import FailureDetector
from mpreg_core.contracts.gossip import GossipStrategy
from mpreg_core.contracts.router import Router
from mpreg_core.contracts.transport import Tls, Transport
from mpreg_core.ids import Family

API_MINOR = 0
"""The minor version of this contract; its major is in the entry-point group `mpreg.v1`."""

OptionsT = TypeVar("OptionsT", bound=Struct)
MessageT = TypeVar("MessageT", bound=Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySpec(Generic[OptionsT]):
    """What all families share.

    - `name`: how configuration names it, unique in its family; lower case, digits, `_`, `-`.
    - `summary`: one line for `mpreg plugins list`.
    - `options`: a `Struct` with `frozen=True, kw_only=True, forbid_unknown_fields=True`, every field defaulted, bounds
      in `msgspec.Meta`, cross-field checks in `__post_init__` (raise `ValueError`). Times are seconds.
    - `api`: the contract minor it was written for; one newer than core's is refused.
    - `wire`: lowest and highest wire version of its messages that it understands.
    - `protocol`: strategies that share their messages name one protocol and may be mixed in a pool; default `name`.
    """

    family: ClassVar[Family]
    name: str
    summary: str
    options: type[OptionsT]
    api: int = API_MINOR
    wire: tuple[int, int] = (1, 1)
    protocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetectorSpec(StrategySpec[OptionsT], Generic[OptionsT, MessageT]):
    """A failure detector. `messages`: tagged, array-like Structs, appended to only; `create` builds the machine."""

    family: ClassVar[Family] = "failure_detector"
    messages: tuple[type[MessageT], ...]
    create: Callable[[StrategyContext, OptionsT], FailureDetector[MessageT]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipSpec(StrategySpec[OptionsT], Generic[OptionsT, MessageT]):
    """A gossip strategy."""

    family: ClassVar[Family] = "gossip"
    messages: tuple[type[MessageT], ...]
    create: Callable[[GossipContext, OptionsT], GossipStrategy[MessageT]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusSpec(StrategySpec[OptionsT], Generic[OptionsT, MessageT]):
    """A consensus engine."""

    family: ClassVar[Family] = "consensus"
    messages: tuple[type[MessageT], ...]
    create: Callable[[ConsensusContext, OptionsT], ConsensusEngine[MessageT]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSpec(StrategySpec[OptionsT], Generic[OptionsT, MessageT]):
    """A router. `messages` may be empty."""

    family: ClassVar[Family] = "routing"
    messages: tuple[type[MessageT], ...] = ()
    create: Callable[[StrategyContext, OptionsT], Router[MessageT]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec(StrategySpec[OptionsT], Generic[OptionsT]):
    """A transport. One that encrypts has `create_secure` as well; without, `security.tls_enabled` refuses it."""

    family: ClassVar[Family] = "transport"
    create: Callable[[OptionsT], Transport]
    create_secure: Callable[[OptionsT, Tls], Transport] | None = None


AnyFailureDetectorSpec = FailureDetectorSpec[Any, Any]
AnyGossipSpec = GossipSpec[Any, Any]
AnyConsensusSpec = ConsensusSpec[Any, Any]
AnyRouterSpec = RouterSpec[Any, Any]
AnyTransportSpec = TransportSpec[Any]
AnySpec = AnyFailureDetectorSpec | AnyGossipSpec | AnyConsensusSpec | AnyRouterSpec | AnyTransportSpec
