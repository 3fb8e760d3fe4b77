"""Counting by a configuration: always a majority, and in a joint one a majority of each half (section 6)."""

from collections.abc import Callable, Container, Mapping

from mpreg_consensus_raft.messages import Config
from mpreg_core import NodeId


def members(config: Config) -> tuple[NodeId, ...]:
    """All who vote, in order."""
    return tuple(sorted({*config.ids, *config.old}))


def has_majority(config: Config, yes: Container[NodeId]) -> bool:
    """True if enough of the voters are among them."""
    return all(sum(node in yes for node in half) * 2 > len(half) for half in (config.ids, config.old) if half)


def agreed(config: Config, value: Mapping[NodeId, int], default: int = 0) -> int:
    """The highest number that a majority has reached."""
    halves = [half for half in (config.ids, config.old) if half]
    found = [sorted((value.get(node, default) for node in half), reverse=True)[len(half) // 2] for half in halves]
    return min(found, default=default)


def heard_by(config: Config, test: Callable[[NodeId], bool]) -> bool:
    """True if a majority passes the test."""
    return has_majority(config, {node for node in members(config) if test(node)})
