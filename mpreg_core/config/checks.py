"""What must hold between keys, and of texts with a form of their own."""

import base64
import binascii
from collections.abc import Callable

from mpreg_core.config.addresses import is_ipv6, parse_endpoint
from mpreg_core.config.decode import shown
from mpreg_core.config.model import NodeConfig
from mpreg_core.config.problems import Path, Problem, problem_at
from mpreg_core.errors import ConfigError
from mpreg_core.ids import is_id
from mpreg_core.limits import TAG_BYTES_MAX, TAGS_MAX
from mpreg_core.plugin.requirements import parse_requirement

_ID_FORM = "expected 1 to 63 letters, digits, '.', '_' or '-' that begin with a letter or digit"
_GOSSIP_KEY_BYTES = (16, 24, 32)  # AES-128, -192, -256
_TOKEN_KEY_BYTES_MIN = 32

Report = Callable[[Path, str], None]


def check(config: NodeConfig) -> list[Problem]:
    """The problems that no single key's type shows."""
    problems: list[Problem] = []

    def report(path: Path, message: str) -> None:
        problems.append(problem_at(path, message, config.origins))

    for rule in (_node, _federation, _ports, _security, _plugins):
        rule(config, report)
    return problems


def _node(config: NodeConfig, report: Report) -> None:
    node = config.node
    names = {"id": node.id, "region": node.region, "parent_hub": node.parent_hub, "stands_by_for": node.stands_by_for}
    for key, text in names.items():
        if text is not None and not is_id(text):
            report(("node", key), f"{_ID_FORM}, got {shown(text, False)}")
    if node.hub_tier == "global" and node.parent_hub is not None:
        report(("node", "parent_hub"), "a global hub has no parent: remove the key, or choose another hub_tier")
    elif node.parent_hub == node.id:
        report(("node", "parent_hub"), "expected another node's id, got this node's own")
    if node.stands_by_for is not None and node.hub_tier not in ("global", "regional"):
        report(("node", "stands_by_for"), f"only a global or regional hub stands by, and hub_tier is {node.hub_tier}")
    elif node.stands_by_for == node.id:
        report(("node", "stands_by_for"), "expected another hub's id, got this node's own")
    if len(node.tags) > TAGS_MAX:
        report(("node", "tags"), f"expected at most {TAGS_MAX} tags, got {len(node.tags)}")
    for key, text in node.tags.items():
        if max(len(key.encode()), len(text.encode())) > TAG_BYTES_MAX:
            report(("node", "tags", key), f"expected at most {TAG_BYTES_MAX} bytes for key and for value, got more")


def _federation(config: NodeConfig, report: Report) -> None:
    federation = config.federation
    if not is_id(federation.name):
        report(("federation", "name"), f"{_ID_FORM}, got {federation.name!r}")
    for index, seed in enumerate(federation.seeds):
        try:
            parse_endpoint(seed, 1)
        except ValueError as error:
            report(("federation", "seeds", index), str(error))
    for peer_id in federation.peers:
        path = ("federation", "peers", peer_id)
        host = config.peer(peer_id).host
        if not is_id(peer_id):
            report(path, f"{_ID_FORM} as the peer's id, got {peer_id!r}")
        if ":" in host and not is_ipv6(host):
            report(
                path,
                f"expected a host without a port, got {shown(host, False)}: write {{host: ..., membership_port: ...}}",
            )


def _ports(config: NodeConfig, report: Report) -> None:
    network = config.network
    used: dict[int, str] = {}
    for key in ("listen_port", "gossip_port", "membership_port", "consensus_port", "routing_port", "metrics_port"):
        section = "monitoring" if key == "metrics_port" else "network"
        if section == "monitoring" and not config.monitoring.metrics_enabled:
            continue
        port: int = getattr(network if section == "network" else config.monitoring, key)
        if port and port in used:
            report((section, key), f"expected a port of its own, got {port}, which {used[port]} has")
        used.setdefault(port, f"{section}.{key}")


def _security(config: NodeConfig, report: Report) -> None:
    security = config.security
    for key in ("cert_file", "key_file", "ca_file"):
        if security.tls_enabled and getattr(security, key) is None:
            report(("security", key), "expected a path, since tls_enabled is true")
    for index, gossip_key in enumerate(security.gossip_keys):
        try:
            size = len(base64.b64decode(gossip_key, validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size not in _GOSSIP_KEY_BYTES:
            report(("security", "gossip_keys", index), "expected base64 of 16, 24 or 32 bytes, got something else")
    authentication = security.authentication
    if authentication and authentication.method == "jwt":
        path = ("security", "authentication", "secret_key")
        size = len((authentication.secret_key or "").encode())
        if not size:
            report(path, "expected the key that signs tokens, since method is jwt")
        elif size < _TOKEN_KEY_BYTES_MIN:
            # RFC 7518, section 3.2
            report(path, f"expected at least {_TOKEN_KEY_BYTES_MIN} bytes (`openssl rand -base64 32`), got {size}")


def advise(config: NodeConfig) -> tuple[Problem, ...]:
    """What is odd, and does not keep a node from running."""
    if not config.security.gossip_keys:
        return ()
    why = "this version does not seal datagrams: gossip and failure detection go in the clear in spite of the keys"
    return (problem_at(("security", "gossip_keys"), why, config.origins),)


def _plugins(config: NodeConfig, report: Report) -> None:
    for index, text in enumerate(config.plugins.require):
        try:
            parse_requirement(text)
        except ConfigError as error:
            report(("plugins", "require", index), error.message)
