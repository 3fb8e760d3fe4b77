"""mpreg: a federation of clusters whose every protocol is a plugin.

All that plugin authors and embedding programs import is here; other modules may move. Names load on first use, so that
importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mpreg_core.config.load import load_config as load_config
    from mpreg_core.config.model import NodeConfig as NodeConfig
    from mpreg_core.config.problems import ConfigProblems as ConfigProblems
    from mpreg_core.contracts.access import ANYBODY as ANYBODY
    from mpreg_core.contracts.access import Authenticator as Authenticator
    from mpreg_core.contracts.access import Identity as Identity
    from mpreg_core.contracts.access import Role as Role
    from mpreg_core.contracts.api import Candidate as Candidate
    from mpreg_core.contracts.api import Check as Check
    from mpreg_core.contracts.api import Cluster as Cluster
    from mpreg_core.contracts.api import Consistency as Consistency
    from mpreg_core.contracts.api import Decision as Decision
    from mpreg_core.contracts.api import Health as Health
    from mpreg_core.contracts.api import HealthReport as HealthReport
    from mpreg_core.contracts.api import Json as Json
    from mpreg_core.contracts.api import MemberView as MemberView
    from mpreg_core.contracts.api import Message as Message
    from mpreg_core.contracts.api import NodeApi as NodeApi
    from mpreg_core.contracts.api import NodeStatus as NodeStatus
    from mpreg_core.contracts.api import PoolStatus as PoolStatus
    from mpreg_core.contracts.api import Reply as Reply
    from mpreg_core.contracts.api import Request as Request
    from mpreg_core.contracts.api import RouteView as RouteView
    from mpreg_core.contracts.api import Scope as Scope
    from mpreg_core.contracts.api import StateApi as StateApi
    from mpreg_core.contracts.api import StateChange as StateChange
    from mpreg_core.contracts.api import StateEntry as StateEntry
    from mpreg_core.contracts.api import StatePolicy as StatePolicy
    from mpreg_core.contracts.consensus import ConsensusEngine as ConsensusEngine
    from mpreg_core.contracts.consensus import Proposal as Proposal
    from mpreg_core.contracts.consensus import ProposalView as ProposalView
    from mpreg_core.contracts.consensus import Voters as Voters
    from mpreg_core.contracts.context import ConsensusContext as ConsensusContext
    from mpreg_core.contracts.context import GossipContext as GossipContext
    from mpreg_core.contracts.context import StrategyContext as StrategyContext
    from mpreg_core.contracts.effects import NOTHING as NOTHING
    from mpreg_core.contracts.effects import Effect as Effect
    from mpreg_core.contracts.effects import Effects as Effects
    from mpreg_core.contracts.effects import Emit as Emit
    from mpreg_core.contracts.effects import Persist as Persist
    from mpreg_core.contracts.effects import Send as Send
    from mpreg_core.contracts.events import ChannelRefused as ChannelRefused
    from mpreg_core.contracts.events import ClusterChanged as ClusterChanged
    from mpreg_core.contracts.events import ClusterMisplaced as ClusterMisplaced
    from mpreg_core.contracts.events import Decided as Decided
    from mpreg_core.contracts.events import Delivered as Delivered
    from mpreg_core.contracts.events import Event as Event
    from mpreg_core.contracts.events import FrameDropped as FrameDropped
    from mpreg_core.contracts.events import JoinRefused as JoinRefused
    from mpreg_core.contracts.events import LeaderChanged as LeaderChanged
    from mpreg_core.contracts.events import MemberChanged as MemberChanged
    from mpreg_core.contracts.events import NameConflict as NameConflict
    from mpreg_core.contracts.events import NodeStateChanged as NodeStateChanged
    from mpreg_core.contracts.events import Occurrence as Occurrence
    from mpreg_core.contracts.events import ParentChanged as ParentChanged
    from mpreg_core.contracts.events import PoolJoined as PoolJoined
    from mpreg_core.contracts.events import PoolLeft as PoolLeft
    from mpreg_core.contracts.events import Published as Published
    from mpreg_core.contracts.events import ReadDone as ReadDone
    from mpreg_core.contracts.events import RegionContested as RegionContested
    from mpreg_core.contracts.events import RegionDoubted as RegionDoubted
    from mpreg_core.contracts.events import RequestDone as RequestDone
    from mpreg_core.contracts.events import RoundTrip as RoundTrip
    from mpreg_core.contracts.events import RouteChanged as RouteChanged
    from mpreg_core.contracts.events import SnapshotInstalled as SnapshotInstalled
    from mpreg_core.contracts.events import SpreadMeasured as SpreadMeasured
    from mpreg_core.contracts.events import StateChanged as StateChanged
    from mpreg_core.contracts.events import StorageFailed as StorageFailed
    from mpreg_core.contracts.events import StrategyFailed as StrategyFailed
    from mpreg_core.contracts.events import SuccessionChanged as SuccessionChanged
    from mpreg_core.contracts.events import Verdict as Verdict
    from mpreg_core.contracts.failure_detector import Evidence as Evidence
    from mpreg_core.contracts.failure_detector import FailureDetector as FailureDetector
    from mpreg_core.contracts.gossip import BULK as BULK
    from mpreg_core.contracts.gossip import DIGEST_FANOUT as DIGEST_FANOUT
    from mpreg_core.contracts.gossip import NORMAL as NORMAL
    from mpreg_core.contracts.gossip import URGENT as URGENT
    from mpreg_core.contracts.gossip import GossipStrategy as GossipStrategy
    from mpreg_core.contracts.gossip import Item as Item
    from mpreg_core.contracts.gossip import Replica as Replica
    from mpreg_core.contracts.machine import Machine as Machine
    from mpreg_core.contracts.members import Address as Address
    from mpreg_core.contracts.members import Coordinates as Coordinates
    from mpreg_core.contracts.members import Member as Member
    from mpreg_core.contracts.members import NetworkCoordinates as NetworkCoordinates
    from mpreg_core.contracts.members import Speaks as Speaks
    from mpreg_core.contracts.members import Status as Status
    from mpreg_core.contracts.merge import MergeFunction as MergeFunction
    from mpreg_core.contracts.merge import MergePolicySpec as MergePolicySpec
    from mpreg_core.contracts.router import Forward as Forward
    from mpreg_core.contracts.router import Local as Local
    from mpreg_core.contracts.router import Policy as Policy
    from mpreg_core.contracts.router import Refuse as Refuse
    from mpreg_core.contracts.router import Route as Route
    from mpreg_core.contracts.router import Router as Router
    from mpreg_core.contracts.router import Target as Target
    from mpreg_core.contracts.router import View as View
    from mpreg_core.contracts.service import ServiceContext as ServiceContext
    from mpreg_core.contracts.service import ServiceSpec as ServiceSpec
    from mpreg_core.contracts.strategy import API_MINOR as API_MINOR
    from mpreg_core.contracts.strategy import AnyConsensusSpec as AnyConsensusSpec
    from mpreg_core.contracts.strategy import AnyFailureDetectorSpec as AnyFailureDetectorSpec
    from mpreg_core.contracts.strategy import AnyGossipSpec as AnyGossipSpec
    from mpreg_core.contracts.strategy import AnyRouterSpec as AnyRouterSpec
    from mpreg_core.contracts.strategy import AnyTransportSpec as AnyTransportSpec
    from mpreg_core.contracts.strategy import ConsensusSpec as ConsensusSpec
    from mpreg_core.contracts.strategy import FailureDetectorSpec as FailureDetectorSpec
    from mpreg_core.contracts.strategy import GossipSpec as GossipSpec
    from mpreg_core.contracts.strategy import RouterSpec as RouterSpec
    from mpreg_core.contracts.strategy import StrategySpec as StrategySpec
    from mpreg_core.contracts.strategy import TransportSpec as TransportSpec
    from mpreg_core.contracts.transport import Endpoint as Endpoint
    from mpreg_core.contracts.transport import FrameSink as FrameSink
    from mpreg_core.contracts.transport import Tls as Tls
    from mpreg_core.contracts.transport import Transport as Transport
    from mpreg_core.embed.node import Node as Node
    from mpreg_core.errors import ApiMismatchError as ApiMismatchError
    from mpreg_core.errors import BudgetSpentError as BudgetSpentError
    from mpreg_core.errors import CompactedError as CompactedError
    from mpreg_core.errors import ConfigError as ConfigError
    from mpreg_core.errors import ConflictError as ConflictError
    from mpreg_core.errors import ContractViolationError as ContractViolationError
    from mpreg_core.errors import DuplicateStrategyError as DuplicateStrategyError
    from mpreg_core.errors import ForbiddenError as ForbiddenError
    from mpreg_core.errors import HandlerError as HandlerError
    from mpreg_core.errors import InvalidInputError as InvalidInputError
    from mpreg_core.errors import MpregError as MpregError
    from mpreg_core.errors import NoQuorumError as NoQuorumError
    from mpreg_core.errors import NoRouteError as NoRouteError
    from mpreg_core.errors import NotFoundError as NotFoundError
    from mpreg_core.errors import OverloadedError as OverloadedError
    from mpreg_core.errors import PayloadTooLargeError as PayloadTooLargeError
    from mpreg_core.errors import PluginError as PluginError
    from mpreg_core.errors import PluginLoadError as PluginLoadError
    from mpreg_core.errors import ProposalError as ProposalError
    from mpreg_core.errors import ProtocolError as ProtocolError
    from mpreg_core.errors import RequestError as RequestError
    from mpreg_core.errors import RequestTimeoutError as RequestTimeoutError
    from mpreg_core.errors import StorageError as StorageError
    from mpreg_core.errors import TransportError as TransportError
    from mpreg_core.errors import UnauthenticatedError as UnauthenticatedError
    from mpreg_core.errors import UnavailableError as UnavailableError
    from mpreg_core.errors import UnknownStrategyError as UnknownStrategyError
    from mpreg_core.errors import did_you_mean as did_you_mean
    from mpreg_core.ids import FAMILIES as FAMILIES
    from mpreg_core.ids import PLANES as PLANES
    from mpreg_core.ids import TIERS as TIERS
    from mpreg_core.ids import ClusterId as ClusterId
    from mpreg_core.ids import Family as Family
    from mpreg_core.ids import Lane as Lane
    from mpreg_core.ids import NodeId as NodeId
    from mpreg_core.ids import Plane as Plane
    from mpreg_core.ids import PoolId as PoolId
    from mpreg_core.ids import PoolTier as PoolTier
    from mpreg_core.ids import Region as Region
    from mpreg_core.ids import Tier as Tier
    from mpreg_core.plugin.hookspecs import hookimpl as hookimpl
    from mpreg_core.units import NS_PER_MS as NS_PER_MS
    from mpreg_core.units import NS_PER_S as NS_PER_S
    from mpreg_core.units import ns as ns
    from mpreg_core.units import seconds as seconds
    from mpreg_core.wire.framing import Framer as Framer
    from mpreg_core.wire.framing import one_batch as one_batch
    from mpreg_core.wire.framing import stream_batches as stream_batches

_EXPORTS: dict[str, tuple[str, ...]] = {
    "config.load": ("load_config",),
    "config.model": ("NodeConfig",),
    "config.problems": ("ConfigProblems",),
    "contracts.access": (
        "ANYBODY",
        "Authenticator",
        "Identity",
        "Role",
    ),
    "contracts.api": (
        "Candidate",
        "Check",
        "Cluster",
        "Consistency",
        "Decision",
        "Health",
        "HealthReport",
        "Json",
        "MemberView",
        "Message",
        "NodeApi",
        "NodeStatus",
        "PoolStatus",
        "Reply",
        "Request",
        "RouteView",
        "Scope",
        "StateApi",
        "StateChange",
        "StateEntry",
        "StatePolicy",
    ),
    "contracts.consensus": (
        "ConsensusEngine",
        "Proposal",
        "ProposalView",
        "Voters",
    ),
    "contracts.context": (
        "ConsensusContext",
        "GossipContext",
        "StrategyContext",
    ),
    "contracts.effects": (
        "Effect",
        "Effects",
        "Emit",
        "NOTHING",
        "Persist",
        "Send",
    ),
    "contracts.events": (
        "ChannelRefused",
        "ClusterChanged",
        "ClusterMisplaced",
        "Decided",
        "Delivered",
        "Event",
        "FrameDropped",
        "JoinRefused",
        "LeaderChanged",
        "MemberChanged",
        "NameConflict",
        "NodeStateChanged",
        "Occurrence",
        "ParentChanged",
        "Published",
        "PoolJoined",
        "PoolLeft",
        "ReadDone",
        "RequestDone",
        "RegionContested",
        "RegionDoubted",
        "RoundTrip",
        "RouteChanged",
        "SnapshotInstalled",
        "SpreadMeasured",
        "StateChanged",
        "StorageFailed",
        "StrategyFailed",
        "SuccessionChanged",
        "Verdict",
    ),
    "contracts.failure_detector": (
        "Evidence",
        "FailureDetector",
    ),
    "contracts.gossip": (
        "BULK",
        "DIGEST_FANOUT",
        "GossipStrategy",
        "Item",
        "NORMAL",
        "Replica",
        "URGENT",
    ),
    "contracts.machine": ("Machine",),
    "contracts.members": (
        "Address",
        "Coordinates",
        "Member",
        "NetworkCoordinates",
        "Speaks",
        "Status",
    ),
    "contracts.merge": (
        "MergeFunction",
        "MergePolicySpec",
    ),
    "contracts.router": (
        "Forward",
        "Local",
        "Policy",
        "Refuse",
        "Route",
        "Router",
        "Target",
        "View",
    ),
    "contracts.service": (
        "ServiceContext",
        "ServiceSpec",
    ),
    "contracts.strategy": (
        "API_MINOR",
        "AnyConsensusSpec",
        "AnyFailureDetectorSpec",
        "AnyGossipSpec",
        "AnyRouterSpec",
        "AnyTransportSpec",
        "ConsensusSpec",
        "FailureDetectorSpec",
        "GossipSpec",
        "RouterSpec",
        "StrategySpec",
        "TransportSpec",
    ),
    "contracts.transport": (
        "Endpoint",
        "FrameSink",
        "Tls",
        "Transport",
    ),
    "embed.node": ("Node",),
    "errors": (
        "ApiMismatchError",
        "BudgetSpentError",
        "CompactedError",
        "ConfigError",
        "ConflictError",
        "ContractViolationError",
        "DuplicateStrategyError",
        "ForbiddenError",
        "HandlerError",
        "InvalidInputError",
        "MpregError",
        "NoQuorumError",
        "NoRouteError",
        "NotFoundError",
        "OverloadedError",
        "PayloadTooLargeError",
        "PluginError",
        "PluginLoadError",
        "ProposalError",
        "ProtocolError",
        "RequestError",
        "RequestTimeoutError",
        "StorageError",
        "TransportError",
        "UnauthenticatedError",
        "UnavailableError",
        "UnknownStrategyError",
        "did_you_mean",
    ),
    "ids": (
        "ClusterId",
        "FAMILIES",
        "Family",
        "Lane",
        "NodeId",
        "PLANES",
        "Plane",
        "PoolId",
        "PoolTier",
        "Region",
        "TIERS",
        "Tier",
    ),
    "plugin.hookspecs": ("hookimpl",),
    "units": (
        "NS_PER_MS",
        "NS_PER_S",
        "ns",
        "seconds",
    ),
    "wire.framing": (
        "Framer",
        "one_batch",
        "stream_batches",
    ),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
