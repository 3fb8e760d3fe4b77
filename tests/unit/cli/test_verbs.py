"""Each verb does what it says against a real node."""

import json

import pytest

JSON = ("--output", "json")
TABLE = ("--output", "table")

READS = {
    "status": ("status",),
    "health": ("health",),
    "members": ("members",),
    "topology": ("topology",),
    "proposals": ("proposals",),
    "state": ("state", "list"),
    "clusters": ("clusters", "list"),
    "events": ("events",),
}


def data(result):
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.mark.parametrize("verb", READS)
def test_a_reading_verb_prints_a_table_when_told_to(ask, verb):
    result = ask(*READS[verb], *TABLE)
    assert result.exit_code == 0, result.stderr
    assert "hub" in result.stdout or verb in ("state", "clusters", "proposals")
    assert not result.stdout.startswith("{")
    assert all(line == line.rstrip() for line in result.stdout.splitlines())


def test_the_members_can_be_chosen_by_pool_and_status(ask):
    everyone = data(ask("members", *JSON))["members"]
    assert {(member["id"], member["pool"]) for member in everyone} == {
        ("hub", "local:hub"), ("hub", "regional:eu"), ("region", "regional:eu"),
    }  # fmt: skip
    assert data(ask("members", "--pool", "local:hub", *JSON))["members"] == [
        member for member in data(ask("members", *JSON))["members"] if member["pool"] == "local:hub"
    ]
    assert data(ask("members", "--status", "failed", *JSON)) == {"members": []}


def test_a_ready_node_is_healthy(ask):
    assert data(ask("health", *JSON))["status"] == "healthy"


def test_the_topology_is_drawn_as_a_tree(ask):
    drawn = ask("topology", *TABLE).stdout
    assert "└── hub  local, eu  alive" in drawn
    assert drawn.index("region  regional, eu") < drawn.index("hub  local, eu")


def test_without_a_terminal_the_answer_is_json(ask):
    assert data(ask("status"))["node"]["id"] == "hub"


def test_a_key_is_written_read_listed_and_deleted(ask):
    written = data(ask("state", "put", "limits/eu", '{"requests": 5}', *JSON))
    assert data(ask("state", "get", "limits/eu", *JSON)) == written
    assert written["value"] == {"requests": 5}
    assert data(ask("state", "list", "limits/", *JSON))["entries"] == [written]
    assert data(ask("state", "list", "nothing/", *JSON))["entries"] == []
    assert data(ask("state", "delete", "limits/eu", *JSON))["deleted"] is True
    gone = ask("state", "get", "limits/eu", *JSON)
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert "not_found" in gone.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("0.5", 0.5), ("true", True), ("null", None),
        ("two words", "two words"), ('"5"', "5"), ("NaN", "NaN"),
    ],
)  # fmt: skip
def test_a_value_is_json_where_it_can_be_read_as_json(ask, text, value):
    assert data(ask("state", "put", "value", text))["value"] == value


def test_a_value_that_begins_with_a_hyphen_follows_two(ask):
    assert data(ask("state", "put", "value", "--", "-5"))["value"] == -5


@pytest.mark.parametrize("key", ["with space", "a/b/c", "..", "ключ", "a?b=c#d", "%2F"])
def test_any_key_can_be_named(ask, key):
    assert data(ask("state", "put", key, "1"))["key"] == key
    assert data(ask("state", "get", key))["key"] == key


def test_a_key_is_only_written_over_the_version_that_was_named(ask):
    first = data(ask("state", "put", "guarded", "1"))
    assert data(ask("state", "put", "guarded", "2", "--if-version", first["version"]))["value"] == 2
    refused = ask("state", "put", "guarded", "3", "--if-version", first["version"])
    assert refused.exit_code == 1
    assert refused.stderr.startswith("mpreg: conflict: ")


def test_a_scope_has_keys_of_its_own(ask):
    data(ask("state", "put", "wide", "1", "--scope", "federation"))
    assert ask("state", "get", "wide").exit_code == 1
    assert data(ask("state", "get", "wide", "--scope", "federation"))["scope"] == "federation"


def test_a_key_whose_end_is_taken_for_a_stream_is_refused_before_it_is_asked_for(ask):
    refused = ask("state", "get", "a/watch")
    assert refused.exit_code == 2
    assert "use: mpreg state list a/watch" in refused.stderr


def test_a_proposal_is_committed_and_listed(ask):
    decided = data(ask("propose", "max_load", "0.8", *JSON))
    assert (decided["status"], decided["value"]) == ("committed", 0.8)
    listed = data(ask("proposals", *JSON))["proposals"]
    assert decided["id"] in [proposal["id"] for proposal in listed]
    assert "1 yes, 0 no; 1 of 1 decide" in ask("proposals", *TABLE).stdout


def test_a_vote_on_an_unknown_proposal_is_refused(ask):
    refused = ask("vote", "nobody-1", "yes")
    assert refused.exit_code == 1
    assert "not_found: no proposal 'nobody-1'" in refused.stderr


def test_a_cluster_is_registered_found_heard_and_removed(ask):
    registered = data(
        ask(
            "clusters", "register", "shop", "--service", "pay,ship", "--service", "track",
            "--endpoint", "http://127.0.0.1:9", "--coordinates", "48.1,11.6", "--tag", "team=a", "--ttl", "60",
        )
    )  # fmt: skip
    assert registered["services"] == ["pay", "ship", "track"]
    assert registered["coordinates"] == {"latitude": 48.1, "longitude": 11.6}
    assert registered["tags"] == {"team": "a"}
    assert data(ask("clusters", "heartbeat", "shop", "--load", "0.5", "--status", "degraded"))["load"] == 0.5
    assert [cluster["status"] for cluster in data(ask("clusters", "list"))["clusters"]] == ["degraded"]
    assert [found["cluster"] for found in data(ask("discover", "ship"))["candidates"]] == ["shop"]
    near = data(ask("discover", "ship", "--near", "48.1,11.6"))["candidates"][0]
    assert near["distance_km"] < 1
    assert data(ask("routes", "shop"))["to"] == "shop"
    assert data(ask("clusters", "deregister", "shop")) == {"id": "shop", "deregistered": True}
    for verb in ("deregister", "heartbeat"):
        assert ask("clusters", verb, "shop").exit_code == 1


def test_a_service_that_is_nowhere_is_said_and_is_1(ask):
    result = ask("discover", "nowhere", *JSON)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["candidates"] == []
    assert result.stderr == "mpreg: no cluster that serves 'nowhere' is known here\n"


def test_a_request_is_answered_with_its_path(ask):
    answer = data(ask("request", "mpreg.echo", '{"hi": 1}', *JSON))
    assert (answer["payload"], answer["path"]) == ({"hi": 1}, ["hub"])
    assert data(ask("request", "mpreg.echo", "hi", "--target", "region", *JSON))["path"] == ["hub", "region"]


def test_a_request_to_a_service_that_is_nowhere_is_refused(ask):
    refused = ask("request", "nowhere", "1")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("mpreg: no_route: ")


def test_a_route_to_what_is_unknown_here_leads_up(ask):
    assert data(ask("routes", "nowhere"))["path"] == ["hub", "region"]
    assert "path          hub -> region" in ask("routes", "nowhere", *TABLE).stdout


def test_a_message_is_published(ask):
    message = data(ask("publish", "orders.eu", '{"id": 7}', *JSON))
    assert (message["topic"], message["payload"], message["origin"]) == ("orders.eu", {"id": 7}, "hub")


def test_events_list_what_happened_oldest_first(ask):
    for value in (1, 2):
        data(ask("state", "put", "told", str(value)))
    lines = [json.loads(line) for line in ask("events", *JSON).stdout.splitlines()]
    assert [event["at"] for event in lines] == sorted(event["at"] for event in lines)
    assert [event["event"]["key"] for event in lines if event["event"]["type"] == "StateChanged"][-2:] == ["told"] * 2
    assert "local:hub  StateChanged  key=told scope=pool" in ask("events", *TABLE).stdout


def test_a_drained_node_is_unhealthy_until_it_resumes(ask):
    assert data(ask("drain")) == {"state": "draining"}
    drained = ask("health")
    assert (drained.exit_code, json.loads(drained.stdout)["status"]) == (1, "draining")
    assert ask("members", *TABLE).stdout.count("draining") == 2
    assert data(ask("resume"))["state"] == "ready"
    assert ask("health").exit_code == 0
