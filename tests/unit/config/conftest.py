"""Plugins made on the spot: real specs with the guide's options, whose machines are never built."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from mpreg_core import (
    ConsensusSpec,
    FailureDetectorSpec,
    GossipSpec,
    RouterSpec,
    TransportSpec,
    hookimpl,
)
from mpreg_core.config.decode import SECRET
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.plugin.registry import Plugins

Positive = Annotated[float, Meta(gt=0, le=3600)]


class Tcp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tcp_nodelay: bool = True
    connection_timeout: Positive = 30.0


class Bus(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    servers: tuple[str, ...] = ()
    password: str = ""
    login: Annotated[str, Meta(extra=SECRET)] | None = None


class Gossip(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    interval: Positive = 1.0
    fanout: Annotated[int, Meta(ge=1, le=64)] = 3
    max_gossip_messages: Annotated[int, Meta(ge=1)] = 1000


class Swim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    probe_interval: Positive = 1.0
    probe_timeout: Positive = 0.5
    suspicion_timeout: Positive | None = None


class Phi(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    probe_interval: Positive = 1.0
    threshold: Positive = 8.0


class Quorum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    threshold: Annotated[float, Meta(gt=0.5, le=1)] = 0.6
    max_proposals: int = 100
    proposal_timeout: Positive = 10.0


class Raft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    election_min: Positive = 1.0
    election_max: Positive = 2.0

    def __post_init__(self) -> None:
        if self.election_min >= self.election_max:
            raise ValueError(f"expected election_min < election_max, got {self.election_min} and {self.election_max}")


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


def never(*_: Any) -> Any:
    raise AssertionError("nothing is built here")


HOOKS: dict[str, tuple[Any, dict[str, type[Struct]]]] = {
    "mpreg_transports": (TransportSpec, {"tcp": Tcp, "bus": Bus}),
    "mpreg_gossip_strategies": (GossipSpec, {"hybrid": Gossip, "plain": Nothing, "hub": Nothing}),
    "mpreg_failure_detectors": (FailureDetectorSpec, {"swim": Swim, "phi": Phi}),
    "mpreg_consensus_engines": (ConsensusSpec, {"quorum": Quorum, "raft": Raft}),
    "mpreg_routers": (RouterSpec, {"hub": Nothing, "graph": Nothing}),
}


def module_for(hook: str) -> SimpleNamespace:
    """An object that provides the specs of one hook."""
    kind, options = HOOKS[hook]
    more = {} if kind is TransportSpec else {"messages": ()}
    specs = [kind(name=name, summary=name, options=its, create=never, **more) for name, its in options.items()]
    provide: Callable[[], object] = lambda: specs  # noqa: E731
    provide.__name__ = hook
    return SimpleNamespace(**{hook: hookimpl(provide)})


@pytest.fixture
def plugins() -> Plugins:
    """All strategies of this file."""
    loaded = load_plugins(env={}, entry_points=[], extra=[(hook, module_for(hook)) for hook in HOOKS])
    assert loaded.failures == ()
    return loaded
