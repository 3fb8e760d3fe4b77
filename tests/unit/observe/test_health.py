"""Health: a row for each rule."""

import pytest
from msgspec import structs

from mpreg_core import NodeStatus, PoolStatus
from mpreg_core.contracts.api import Status
from mpreg_core.limits import OUTBOX_BYTES_MAX
from mpreg_core.observe.health import SILENCE_S, Observed, Quorum, assess

POOL = PoolStatus("local:a", "local", 3, 3, 0, 0, 0, "a", {})
ALONE = structs.replace(POOL, members=1, alive=1)


def observed(state="ready", tier="local", parent="r", pool=POOL, **fields):
    node = NodeStatus("a", "eu", tier, 1, 1.0, "0", state, "f", None)
    return Observed(status=Status(node, [pool], parent, []), **fields)


FINE = observed()

ROWS = [
    # what is seen, the check it concerns, that check, the whole
    (FINE, "hub", "healthy", "healthy"),
    (observed(state="starting"), "hub", "unhealthy", "unhealthy"),
    (observed(state="joining"), "hub", "unhealthy", "unhealthy"),
    (observed(state="draining"), "hub", "healthy", "draining"),
    (observed(state="stopped"), "hub", "healthy", "draining"),
    (observed(state="draining", storage_error="full"), "storage", "unhealthy", "draining"),
    (observed(parent=None), "hub", "degraded", "degraded"),
    (observed(parent=None, tier="global"), "hub", "healthy", "healthy"),
    (observed(storage_error="disk full"), "storage", "unhealthy", "unhealthy"),
    (observed(pool=structs.replace(POOL, alive=1, failed=1)), "membership_protocol", "healthy", "healthy"),
    (observed(pool=structs.replace(POOL, alive=1, failed=2)), "membership_protocol", "degraded", "degraded"),
    (observed(pool=structs.replace(POOL, alive=1, suspect=2)), "membership_protocol", "degraded", "degraded"),
    (observed(pool=structs.replace(POOL, alive=1, left=9)), "membership_protocol", "healthy", "healthy"),
    (observed(gossip_age_s={"local:a": SILENCE_S}), "gossip_protocol", "healthy", "healthy"),
    (observed(gossip_age_s={"local:a": SILENCE_S + 1}), "gossip_protocol", "degraded", "degraded"),
    (observed(gossip_age_s={"local:a": 9e9}, pool=ALONE), "gossip_protocol", "healthy", "healthy"),
    (observed(heard_age_s={"local:a": SILENCE_S + 1}), "transport", "degraded", "degraded"),
    (observed(outbox_bytes=OUTBOX_BYTES_MAX * 0.7), "transport", "healthy", "healthy"),
    (observed(outbox_bytes=OUTBOX_BYTES_MAX * 0.9), "transport", "degraded", "degraded"),
    (observed(quorums={"local:a": Quorum(2, 2)}), "consensus_manager", "healthy", "healthy"),
    (observed(quorums={"local:a": Quorum(2, 1)}), "consensus_manager", "degraded", "degraded"),
    (observed(quorums={"local:a": Quorum(2, 3, stopped=True)}), "consensus_manager", "unhealthy", "unhealthy"),
    (
        observed(quorums={"a": Quorum(2, 3, stopped=True), "b": Quorum(2, 1)}),
        "consensus_manager",
        "unhealthy",
        "unhealthy",
    ),
    (observed(parent=None, storage_error="full"), "storage", "unhealthy", "unhealthy"),
]


@pytest.mark.parametrize(("seen", "check", "status", "whole"), ROWS)
def test_what_is_seen_decides_the_check_and_the_worst_check_the_whole(seen, check, status, whole):
    report = assess(seen)
    assert report.checks[check].status == status
    assert report.status == whole
    assert (status == "healthy") == ("reasons" not in report.checks[check].details)


def test_the_checks_are_those_of_the_contract():
    assert list(assess(FINE).checks) == [
        "gossip_protocol",
        "membership_protocol",
        "consensus_manager",
        "transport",
        "storage",
        "hub",
    ]


def test_a_reason_names_the_pool_and_the_figures():
    (reason,) = assess(observed(quorums={"local:a": Quorum(3, 1)})).checks["consensus_manager"].details["reasons"]
    assert reason == "local:a: 1 voters are reachable, 3 are needed"
