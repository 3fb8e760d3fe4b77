"""A verb that goes on bears with a node that restarts; answers that are no become exit codes."""

import json

import pytest

from mpreg_core.cli import output
from mpreg_core.cli.http import Unreachable
from mpreg_core.cli.output import LOST_S, RETRY_S, Patience

GONE = Unreachable("cannot reach it")


@pytest.fixture
def clock(monkeypatch):
    """The time, in a list, that sleeping moves on."""
    now = [100.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(output.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_a_node_that_never_answered_is_given_up_at_once(clock):
    with pytest.raises(Unreachable):
        Patience().lost(GONE)
    assert clock == [100.0]


def test_a_node_that_answered_is_waited_for(clock, capsys):
    patience = Patience()
    patience.heard()
    for _ in range(int(LOST_S / RETRY_S)):
        patience.lost(GONE)
    with pytest.raises(Unreachable):
        patience.lost(GONE)
    assert capsys.readouterr().err == f"mpreg: cannot reach it; trying for {LOST_S:.0f} s more\n"


def test_a_node_that_comes_back_has_the_whole_time_again(clock, capsys):
    patience = Patience()
    for _ in range(3):
        patience.heard()
        patience.lost(GONE)
        clock[0] += LOST_S - 2 * RETRY_S
        patience.lost(GONE)
    patience.heard()
    assert capsys.readouterr().err.count("mpreg: the node answers again\n") == 3


PROPOSAL = {
    "id": "n-1", "key": "k", "value": 1, "proposer": "n", "votes": {}, "needed": 1, "voters": 2, "created": 1.0,
    "decided": 2.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "args", "code"),
    [
        ("committed", (), 0),
        ("rejected", (), 1),
        ("timeout", (), 1),
        ("pending", ("--no-wait",), 0),
    ],
)
def test_a_proposal_is_1_unless_it_was_committed(cli, canned, status, args, code):
    url, asked = canned(200, PROPOSAL | {"status": status})
    assert cli("propose", "k", "1", *args, "--api", url).exit_code == code
    assert asked[0].path == f"/api/consensus/proposals?wait={'false' if args else 'true'}"


def test_a_vote_is_sent_as_a_word(cli, canned):
    url, asked = canned(200, PROPOSAL | {"status": "pending"})
    assert cli("vote", "n/1", "no", "--api", url).exit_code == 0
    assert asked[0].path == "/api/consensus/proposals/n%2F1/votes"
    assert json.loads(asked[0].body) == {"vote": "no"}


def test_the_token_is_sent_and_not_shown(cli, canned, monkeypatch):
    monkeypatch.setenv("MPREG_TOKEN", "s3cret")
    url, asked = canned(401, {"error": {"code": "unauthorized", "message": "expired", "where": "", "retryable": False}})
    result = cli("publish", "t", "1", "--api", url)
    assert asked[0].headers["authorization"] == "Bearer s3cret"
    assert (result.exit_code, result.stderr) == (1, "mpreg: unauthorized: expired; a retry will not help\n")


def test_an_error_tells_where_and_what_may_have_happened(cli, canned):
    error = {"code": "timeout", "message": "no answer", "where": "hub-b", "retryable": True, "definite": False}
    url, _ = canned(504, {"error": error})
    result = cli("request", "s", "1", "--api", url)
    expected = "mpreg: timeout: no answer (hub-b); a retry may succeed, and it may have taken effect\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_a_long_list_of_keys_is_read_page_by_page(cli, canned):
    entry = {"value": 1, "scope": "pool", "policy": "map", "revision": 1}
    pages = [
        {"entries": [entry | {"key": "a&b"}], "revision": 2, "next": "a&b"},
        {"entries": [entry | {"key": "c"}], "revision": 2, "next": None},
    ]
    url, asked = canned(200, *pages)
    result = cli("state", "list", "--scope", "pool", "--api", url)
    assert [found["key"] for found in json.loads(result.stdout)["entries"]] == ["a&b", "c"]
    assert [one.path for one in asked] == [
        "/api/state?prefix=&scope=pool",
        "/api/state?prefix=&scope=pool&after=a%26b",
    ]


def test_lost_events_and_a_stream_that_ends_too_soon_are_said(cli, canned):
    url, _ = canned(200, 'event: gap\ndata: {"lost": 7}\n\n')
    result = cli("events", "--api", url)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"mpreg: 7 events were lost: they came faster than they were read\nmpreg: {url}: the node ended the stream\n"
    )


def test_an_error_within_a_stream_is_said(cli, canned):
    error = {"code": "overloaded", "message": "too many subscribers", "where": "", "retryable": True}
    url, _ = canned(200, f"event: error\ndata: {json.dumps({'error': error})}\n\n")
    result = cli("subscribe", "t", "--api", url)
    assert (result.exit_code, result.stderr) == (1, "mpreg: overloaded: too many subscribers; a retry may succeed\n")
