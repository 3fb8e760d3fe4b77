"""What a person sees at 80 columns, for fixed answers; names from the network cannot steer the terminal."""

import io
import json

import pytest
from rich.console import Console

from mpreg_core.cli import clusters, discover, events, health, members, proposals, routes, state, status, text, topology
from mpreg_core.cli.text import clean, duration, to_json

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def _at(monkeypatch):
    monkeypatch.setattr(text.time, "time", lambda: NOW)


def drawn(picture):
    """The picture's lines at 80 columns, without colours."""
    file = io.StringIO()
    Console(file=file, width=80, highlight=False, markup=False, emoji=False).print(picture)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def member(id, pool, status, **fields):
    return {
        "id": id, "pool": pool, "status": status, "since": NOW - 75, "hub_tier": "local", "region": "eu-west",
        "address": "10.0.0.7:8082", "rtt_ms": 1.234, "draining": False,
    } | fields  # fmt: skip


PICTURES = {
    "status": (
        status.draw,
        {
            "node": {
                "id": "hub-a", "state": "ready", "hub_tier": "local", "region": "eu", "federation": "shop",
                "uptime_seconds": 93_784.2, "incarnation": 3, "version": "0.1.0",
            },
            "parent_hub": "hub-eu",
            "children": ["n1", "n2"],
            "pools": [
                {
                    "id": "local:hub-a", "hub": "hub-a", "members": 4, "alive": 2, "suspect": 1, "failed": 1, "left": 0,
                    "strategies": {"gossip": "hybrid", "failure_detector": "swim", "consensus": "quorum",
                                   "routing": "hub", "transport": "tcp"},
                }
            ],
        },
    ),
    "health": (
        health.draw,
        {
            "status": "degraded",
            "checks": {
                "gossip_protocol": {"status": "healthy", "details": {"local:hub-a": {"alive": 2, "failed": 1}}},
                "storage": {"status": "healthy", "details": {}},
                "hub": {"status": "degraded", "details": {"parent": None, "children": 2}},
            },
        },
    ),
    "members": (
        members.draw,
        {
            "members": [
                member("hub-a", "local:hub-a", "alive"),
                member("n1", "local:hub-a", "suspect", rtt_ms=None),
                member("n2", "local:hub-a", "alive", draining=True, rtt_ms=87.6),
            ]
        },
    ),
    "topology": (
        topology.draw,
        {
            "nodes": [
                {"id": "n1", "parent": "hub-a", "tier": "cluster", "region": "eu", "status": "failed"},
                {"id": "hub-a", "parent": "hub-eu", "tier": "local", "region": "eu", "status": "alive"},
                {"id": "hub-eu", "parent": None, "tier": "regional", "region": "eu", "status": "alive", "children": 1},
            ],
            "edges": [{"from": "hub-a", "to": "hub-eu", "rtt_ms": 12.5}],
            "clusters": [{"id": "shop", "hub": "hub-a", "node": "", "services": ["pay", "ship"], "status": "healthy"}],
        },
    ),
    "topology in a circle": (
        topology.draw,
        {
            "nodes": [
                {"id": "a", "parent": "b", "tier": "local", "region": "eu", "status": "alive"},
                {"id": "b", "parent": "a", "tier": "local", "region": "eu", "status": "alive"},
            ],
            "edges": [],
            "clusters": [{"id": "lost", "hub": "gone", "node": "", "services": [], "status": "unhealthy"}],
        },
    ),
    "routes": (
        routes.draw,
        {
            "to": "shop", "path": ["n1", "hub-a"], "pool": "local:hub-a", "cost_ms": 3.25,
            "alternatives": ["hub-b"], "reason": "the hub knows the way",
        },
    ),
    "discover": (
        discover.draw,
        {
            "candidates": [
                {
                    "cluster": "shop-eu", "node": "", "status": "healthy", "region": "eu", "hub": "hub-a", "load": 0.25,
                    "distance_km": 341.4, "rtt_ms": None, "why": "healthy, load 0.25, 341 km away",
                },
            ]
        },
    ),
    "proposals": (
        proposals.draw,
        {
            "proposals": [
                {
                    "id": "hub-a-1", "key": "max_load", "value": 0.8, "status": "pending", "proposer": "hub-a",
                    "votes": {"hub-a": True, "n1": False}, "needed": 2, "voters": 3, "created": NOW - 4,
                }
            ]
        },
    ),
    "state list": (
        state.draw_entries,
        {
            "entries": [
                {"key": "limits/eu", "value": {"requests": 5}, "scope": "pool", "policy": "map", "revision": 12},
                {"key": "name", "value": "a name", "scope": "federation", "policy": "last_write_wins", "revision": 7},
            ]
        },
    ),
    "clusters list": (
        clusters.draw,
        {
            "clusters": [
                {
                    "id": "shop", "status": "degraded", "services": ["pay", "ship"], "hub": "hub-a", "region": "eu",
                    "load": 0.5, "capacity": 100.0,
                }
            ]
        },
    ),
}  # fmt: skip

GOLDEN = {
    "status": """\
node         hub-a
state        ready
tier         local
region       eu
federation   shop
parent hub   hub-eu
children     n1, n2
up           1d 2h
incarnation  3
version      0.1.0

POOL         HUB    MEMBERS  ALIVE  SUSPECT  FAILED  LEFT
local:hub-a  hub-a        4      2        1       1     0

POOL         GOSSIP  DETECTOR  CONSENSUS  ROUTING  TRANSPORT
local:hub-a  hybrid  swim      quorum     hub      tcp
""",
    "health": """\
status  degraded

CHECK            STATUS    DETAILS
gossip_protocol  healthy   local:hub-a: alive 2, failed 1
storage          healthy   -
hub              degraded  parent -, children 2
""",
    "members": """\
ID     POOL         STATUS    FOR     TIER   REGION   ADDRESS            RTT
hub-a  local:hub-a  alive     1m 15s  local  eu-west  10.0.0.7:8082  1.23 ms
n1     local:hub-a  suspect   1m 15s  local  eu-west  10.0.0.7:8082        -
n2     local:hub-a  draining  1m 15s  local  eu-west  10.0.0.7:8082    88 ms
""",
    "topology": """\
federation: 3 nodes, 1 cluster known here
└── hub-eu  regional, eu  alive  12 ms  1 child
    └── hub-a  local, eu  alive
        ├── cluster shop  pay, ship  healthy
        └── n1  cluster, eu  failed
""",
    "topology in a circle": """\
federation: 2 nodes, 1 cluster known here
├── a  local, eu  alive
│   └── b  local, eu  alive
└── cluster lost    unhealthy
""",
    "routes": """\
to            shop
path          n1 -> hub-a
pool          local:hub-a
cost          3.25 ms
alternatives  hub-b
why           the hub knows the way
""",
    "discover": """\
CLUSTER  STATUS   REGION  HUB    LOAD  DISTANCE  RTT  WHY
shop-eu  healthy  eu      hub-a  0.25    341 km    -  healthy, load 0.25, 341 km
                                                      away
""",
    "proposals": """\
ID       KEY       VALUE  STATUS   VOTES                       PROPOSER  AGE
hub-a-1  max_load  0.8    pending  1 yes, 1 no; 2 of 3 decide  hub-a     4s
""",
    "state list": """\
KEY        VALUE            SCOPE       POLICY           REVISION
limits/eu  {"requests": 5}  pool        map                    12
name       a name           federation  last_write_wins         7
""",
    "clusters list": """\
CLUSTER  STATUS    SERVICES   HUB    REGION  LOAD  CAPACITY
shop     degraded  pay, ship  hub-a  eu      0.50       100
""",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was(name):
    draw, answer = PICTURES[name]
    assert drawn(draw(answer)) == GOLDEN[name]


def test_an_event_is_one_line():
    happened = {
        "at": 0.0,
        "node": "hub-a",
        "pool": "local:hub-a",
        "event": {
            "type": "MemberChanged",
            "change": "failed",
            "member": {"id": "n1", "region": "eu"},
            "previous": None,
            "cause": "probe",
            "by": "",
        },
    }
    assert events.line(happened).partition("  ")[2] == "local:hub-a  MemberChanged  change=failed member=n1 cause=probe"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0s"), (59, "59s"), (185, "3m 5s"), (19_800, "5h 30m"), (187_200, "2d 4h"), (-3, "0s")]
)
def test_a_duration_has_its_two_largest_units(seconds, words):
    assert duration(seconds) == words


STEERING = "a\x1b[2Jb\rc\u202ed\ud800"


def test_what_could_steer_a_terminal_is_shown_and_not_obeyed():
    assert clean(STEERING) == "a\\x1b[2Jb\\x0dc\\u202ed\\ud800"
    assert "\x1b" not in drawn(members.draw({"members": [member(STEERING, STEERING, "alive")]}))
    assert to_json(STEERING).isascii()
    assert json.loads(to_json(STEERING)) == STEERING


def test_a_hostile_answer_of_a_node_cannot_steer_either():
    assert "\x1b" not in state.line({"revision": 1, "key": STEERING, "value": STEERING})
