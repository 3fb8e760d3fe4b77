"""Wrong input is 2, an unreachable node 3, a refused configuration 78: with one line that says what to do."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from mpreg_core.cli.main import VERBS

USAGE = {
    ("memebrs",): "Did you mean 'members'?",
    ("state", "gte"): "Did you mean 'get'",
    ("members", "--nope"): "No such option: --nope",
    ("members", "--api", "ftp://host"): "expected a URL such as http://HOST:8080, got 'ftp://host'",
    ("members", "--api", "http://host:port"): "expected a URL such as",
    ("members", "--token", "two words"): "expected printable ASCII without spaces",
    ("members", "--status", "dead"): "'dead' is not one of",
    ("members", "--output", "yaml"): "'yaml' is not one of",
    ("members", "--watch", "0"): "greater than or equal to 0.1",
    ("state", "get"): "Missing argument 'KEY'",
    ("state", "get", ""): "expected a key, got an empty one",
    ("state", "put", "k"): "Missing argument 'VALUE'",
    ("state", "get", "k", "--scope", "galaxy"): "'galaxy' is not one of",
    ("state", "get", "k", "--consistency", "strong"): "'strong' is not one of",
    ("discover", "s", "--near", "north"): "expected LAT,LON within -90..90 and -180..180 degrees, got 'north'",
    ("discover", "s", "--near", "91,0"): "got '91,0'",
    ("discover", "s", "--limit", "0"): "greater than or equal to 1",
    ("routes", "t", "--policy", "scenic"): "'scenic' is not one of",
    ("propose", "k", "1", "--timeout", "301"): "less than or equal to 300",
    ("vote", "p", "maybe"): "'maybe' is not one of",
    ("request", "s"): "Missing argument 'DATA'",
    ("request", "s", "1", "--timeout", "0"): "greater than or equal to 0.001",
    ("clusters", "register", "c"): "Missing option '--service'",
    ("clusters", "register", "c", "--service", "s", "--tag", "a"): "expected NAME=VALUE, got 'a'",
    ("clusters", "register", "c", "--service", "s", "--capacity", "0"): "--capacity",
    ("clusters", "heartbeat", "c", "--load", "-1"): "greater than or equal to 0",
    ("run", "--backend", "curio"): "expected one of asyncio, trio, got 'curio'",
    ("validate",): "Missing argument 'FILE'",
}

ASKING = [
    ("status",), ("health",), ("members",), ("topology",), ("routes", "t"), ("events",), ("events", "--follow"),
    ("state", "get", "k"), ("state", "put", "k", "1"), ("state", "delete", "k"), ("state", "list"),
    ("state", "watch", "k"), ("propose", "k", "1"), ("proposals",), ("vote", "p", "no"), ("clusters", "list"),
    ("clusters", "register", "c", "--service", "s"), ("clusters", "deregister", "c"), ("clusters", "heartbeat", "c"),
    ("discover", "s"), ("request", "s", "1"), ("publish", "t", "1"), ("subscribe", "t"), ("drain",), ("resume",),
    ("shutdown", "--yes"), ("members", "--watch"), ("serve", "s", "sh"),
]  # fmt: skip


@pytest.mark.parametrize("args", USAGE, ids=" ".join)
def test_wrong_usage_says_what_was_expected(cli, args):
    result = cli(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert USAGE[args] in " ".join(result.stderr.split())


def test_a_password_in_the_url_is_refused_and_not_shown(cli):
    result = cli("members", "--api", "http://me:secret@host")
    assert result.exit_code == 2
    assert "use --token" in " ".join(result.stderr.split())
    assert "secret" not in result.stderr


@pytest.mark.parametrize("args", ASKING, ids=" ".join)
def test_a_node_that_is_not_there_is_3_and_named(cli, args):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes it
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = cli(*args, "--api", url)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"mpreg: cannot reach {url}: ")
    assert result.stderr.count("\n") == 1


def test_every_verb_that_asks_a_node_is_among_those_tried():
    assert {args[0] for args in ASKING} == {verb.name for verb in VERBS} - {
        "run",
        "demo",
        "simulate",
        "validate",
        "plugins",
        "token",
        "tls",
    }


class Stranger(BaseHTTPRequestHandler):
    """A web server that is no node."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>hello</h1>")

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format, *args):
        """Quietly."""


@pytest.fixture(scope="module")
def stranger():
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("args", [("status",), ("drain",), ("events",), ("subscribe", "t")], ids=" ".join)
def test_a_server_that_is_no_node_is_3(cli, stranger, args):
    result = cli(*args, "--api", stranger)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "expected the answer of an mpreg node, got status 200 with text/html" in result.stderr


def test_the_url_may_come_from_the_environment_and_a_flag_is_stronger(cli, api, stranger, monkeypatch):
    monkeypatch.setenv("MPREG_API", stranger)
    assert cli("status").exit_code == 3
    assert cli("status", "--api", api).exit_code == 0
    assert cli("status", "--api", f"{api}/").exit_code == 0


NODE = "node: {id: a, region: eu, hub_tier: global}\n"
REFUSED = {
    "unknown key": (NODE + "gossip: {fanuot: 3}\n", (), "gossip.fanuot: unknown key, did you mean 'fanout'?"),
    "wrong type": (NODE + "network: {listen_port: many}\n", (), "network.listen_port: expected"),
    "no YAML": ("node: [\n", (), "file.yaml:"),
    "unknown strategy": (NODE, ("--plugins", "gossip=carrier-pigeon"), "carrier-pigeon"),
    "strategy in the file": (NODE + "membership: {strategy: swmi}\n", (), "did you mean 'swim'?"),
    "required plugin": (NODE + "plugins: {require: [mpreg-nosuch]}\n", (), "expected mpreg-nosuch to be installed"),
    "wrong --set": (NODE, ("--set", "network"), "--set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_configuration_that_run_refuses_is_78(cli, tmp_path, name):
    text, args, expected = REFUSED[name]
    file = tmp_path / "file.yaml"
    file.write_text(text)
    result = cli("run", "--config", str(file), *args)
    assert (result.exit_code, result.stdout) == (78, "")
    assert expected in result.stderr


def test_a_configuration_file_that_is_not_there_is_78(cli, tmp_path):
    result = cli("run", "--config", str(tmp_path / "none.yaml"))
    assert result.exit_code == 78
    assert "none.yaml" in result.stderr


def test_the_node_opens_as_many_files_as_it_may():
    resource = pytest.importorskip("resource")
    from mpreg_core.cli.run import raise_file_limit

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
