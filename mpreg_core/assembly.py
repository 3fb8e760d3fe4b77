"""From a configuration and the installed plugins to the parts of a node. The only file that sees everything."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mpreg_core import __version__
from mpreg_core.config.model import NodeConfig, Peer
from mpreg_core.config.resolve import Chosen, PoolStrategies, Resolved, resolve
from mpreg_core.contracts.access import Authenticator
from mpreg_core.contracts.members import Address
from mpreg_core.contracts.merge import MergeFunction
from mpreg_core.contracts.strategy import AnyTransportSpec
from mpreg_core.contracts.transport import Endpoint, Tls, Transport
from mpreg_core.errors import ConfigError
from mpreg_core.ids import LOWER_POOL, PLANES, UPPER_POOL, Plane, PoolTier, Tier, is_id
from mpreg_core.node.core import NodeCore
from mpreg_core.node.parts import NODE_JOURNAL, NodeSettings, Part, PartsOf, PoolParts, decode_remembered
from mpreg_core.plugin.registry import Plugins
from mpreg_core.runtime import clock
from mpreg_core.runtime.journal import Journal
from mpreg_core.security.certificates import certificates_of
from mpreg_core.security.tokens import tokens_of

WILDCARDS = frozenset(("0.0.0.0", "::", ""))


@dataclass(frozen=True, slots=True)
class Assembled:
    """A node's parts. `make_core` takes the endpoints as bound, since port 0 takes a free one."""

    config: NodeConfig
    resolved: Resolved
    transport_name: str
    transport: Transport
    listen: Mapping[Plane, Endpoint]
    journal: Journal
    authenticator: Authenticator | None
    make_core: Callable[[Mapping[Plane, Endpoint]], NodeCore]


def tiers_of(tier: Tier) -> tuple[PoolTier, ...]:
    """The tiers of the pools that a node of a tier is in, from the lowest up."""
    lower, upper = LOWER_POOL[tier], UPPER_POOL[tier]
    return (lower, upper) if lower is not None else (upper,)


def assemble(
    config: NodeConfig, plugins: Plugins, specs: tuple[str, ...] = (), *, seed: int | None = None
) -> Assembled:
    """Choose the strategies, read the journals, be ready to start. Raises `ConfigError`, `PluginError`, `StorageError`.

    `specs` are `--plugins` flags. `seed` makes the node's random choices repeatable.
    """
    tiers = tiers_of(config.node.hub_tier)
    resolved = resolve(config, plugins, specs, tiers)
    transport = _transport(resolved, tiers)
    journal = Journal(Path(config.node.data_dir) / config.node.id if config.node.data_dir else None)
    records = journal.load()
    merges = {name: spec.merge for name, spec in plugins.merges.items()}
    authenticator = tokens_of(config)
    network = config.network
    ports: dict[Plane, int] = {
        "gossip": network.gossip_port,
        "membership": network.membership_port,
        "consensus": network.consensus_port,
        "routing": network.routing_port,
    }
    return Assembled(
        config=config,
        resolved=resolved,
        transport_name=transport.spec.name,
        transport=_made(transport, certificates_of(config)),
        listen={plane: Endpoint(network.listen_host, ports[plane]) for plane in PLANES},
        journal=journal,
        authenticator=authenticator,
        make_core=partial(_make_core, config, parts_of(resolved), records, merges, authenticator, seed),
    )


def _transport(resolved: Resolved, tiers: tuple[PoolTier, ...]) -> Chosen[AnyTransportSpec]:
    """The node's one transport: its pools share ports and connections."""
    chosen = [resolved.pools[tier].transport for tier in tiers]
    first, last = chosen[0], chosen[-1]
    if (first.spec.name, first.options) != (last.spec.name, last.options):
        raise ConfigError(
            f"a node has one transport for all its pools, got {first.spec.name} for {tiers[0]} and {last.spec.name} "
            f"for {tiers[-1]} pools, or other options; choose the same",
            where="tiers",
        )
    return last


def _made(transport: Chosen[AnyTransportSpec], tls: Tls | None) -> Transport:
    spec = transport.spec
    if tls is None:
        return spec.create(transport.options)
    if spec.create_secure is None:
        why = f"the transport {spec.name} does not encrypt; choose another one, or set this to false"
        raise ConfigError(why, where="security.tls_enabled")
    return spec.create_secure(transport.options, tls)


def _make_core(
    config: NodeConfig,
    parts: PartsOf,
    records: Mapping[str, tuple[bytes, ...]],
    merges: Mapping[str, MergeFunction],
    authenticator: Authenticator | None,
    seed: int | None,
    bound: Mapping[Plane, Endpoint],
) -> NodeCore:
    if seed is None:
        seed = int.from_bytes(os.urandom(8), "big")
    settings = replace(settings_of(config, bound, records, seed), merges=merges, authenticator=authenticator)
    return NodeCore(settings, parts)


def parts_of(resolved: Resolved) -> PartsOf:
    """The strategies with their options bound, as the node takes them."""
    made = {tier: _pool_parts(strategies) for tier, strategies in resolved.pools.items()}
    return made.__getitem__


def _pool_parts(strategies: PoolStrategies) -> PoolParts:
    return PoolParts(
        failure_detector=part_of(strategies.failure_detector),
        gossip=part_of(strategies.gossip),
        consensus=part_of(strategies.consensus),
        routing=part_of(strategies.routing),
    )


def part_of(chosen: Chosen[Any]) -> Part:
    """One strategy with its options bound."""
    spec, options = chosen.spec, chosen.options
    create = spec.create
    return Part(
        family=spec.family,
        strategy=spec.name,
        protocol=spec.protocol or spec.name,
        wire=spec.wire,
        messages=getattr(spec, "messages", ()),
        create=lambda context: create(context, options),
    )


def settings_of(
    config: NodeConfig, bound: Mapping[Plane, Endpoint], records: Mapping[str, tuple[bytes, ...]], seed: int
) -> NodeSettings:
    """The node's place in the federation. Raises `ConfigError` where two keys do not go together."""
    node = config.node
    if not is_id(node.id):
        raise ConfigError(f"expected 1 to 63 letters, digits, '.', '_' or '-', got {node.id!r}", where="node.id")
    capacity = {
        "global": config.hubs.max_regional_hubs,
        "regional": config.hubs.max_child_hubs,
        "local": config.hubs.max_clusters,
        "cluster": 0,
    }[node.hub_tier]
    return NodeSettings(
        id=node.id,
        federation=config.federation.name,
        tier=node.hub_tier,
        region=node.region,
        address=_own_address(config, bound),
        started_ms=clock.wall_ms(),
        seed=seed,
        parent=node.parent_hub,
        parent_address=_peer_address(config.peer(node.parent_hub)) if node.parent_hub else None,
        goes_home=node.goes_home,
        stands_by_for=node.stands_by_for,
        primary_address=_peer_address(config.peer(node.stands_by_for)) if node.stands_by_for else None,
        seeds=tuple(_seed_address(seed) for seed in config.federation.seeds),
        coordinates=node.coordinates,
        capacity=capacity,
        version=__version__,
        tags=dict(node.tags),
        remembered=decode_remembered(records.get(NODE_JOURNAL, ())),
        records=records,
        durable=node.data_dir is not None,
        check_commands=config.hubs.check_commands,
        open_to_all=config.security.authentication is not None and config.security.authentication.method == "none",
    )


def _peer_address(peer: Peer) -> Address:
    return Address(
        peer.host, peer.gossip_port, peer.membership_port, peer.consensus_port, peer.routing_port, peer.listen_port
    )


def _seed_address(seed: str) -> Address:
    host, _, port = seed.rpartition(":")
    return Address(host.strip("[]"), membership=int(port))


def _own_address(config: NodeConfig, bound: Mapping[Plane, Endpoint]) -> Address:
    ports = {plane: endpoint.port for plane, endpoint in bound.items()}
    host = config.network.advertise_host or config.network.listen_host
    if host in WILDCARDS:
        host = outward_address(_first_contact(config))
    return Address(
        host, ports["gossip"], ports["membership"], ports["consensus"], ports["routing"], config.network.listen_port
    )


def _first_contact(config: NodeConfig) -> Endpoint | None:
    """Where this node will knock first."""
    first = config.node.stands_by_for or config.node.parent_hub
    if first:
        peer = config.peer(first)
        return Endpoint(peer.host, peer.membership_port)
    if config.federation.seeds:
        address = _seed_address(config.federation.seeds[0])
        return Endpoint(address.host, address.membership)
    return None


def outward_address(contact: Endpoint | None) -> str:
    """The address by which others reach this host: that of the interface towards `contact`, or towards the internet.

    Connecting a datagram socket chooses the interface without sending anything. Without any way out it is loopback.
    """
    for host, port in ((contact.host, contact.port),) if contact else (("192.0.2.1", 9), ("2001:db8::1", 9)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port or 9, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(address)
                own: str = probe.getsockname()[0]
                return own
        except OSError:
            continue
    return "127.0.0.1"
