"""A small federation on loopback, in a thread, and the command line to try on it."""

import json
import signal
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import anyio
import pytest
from typer.testing import CliRunner

from mpreg_core.cli.main import app
from mpreg_core.config.load import read_config
from mpreg_core.embed.node import Node

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

START_S = 20.0
PLANES = ("gossip", "membership", "consensus", "routing")


def configured(name, tier, parent=None):
    """A node on free ports below `parent`, a started `Node`."""
    data = {
        "node": {"id": name, "hub_tier": tier, "region": "eu", "coordinates": {"latitude": 51.5, "longitude": 0}},
        "network": {"listen_host": "127.0.0.1", "listen_port": 0} | {f"{plane}_port": 0 for plane in PLANES},
        "monitoring": {"metrics_enabled": False},
    }
    if parent is not None:
        above, node = parent
        data["node"]["parent_hub"] = above
        ports = {f"{plane}_port": endpoint.port for plane, endpoint in node.endpoints.items()}
        data["federation"] = {"peers": {above: {"host": "127.0.0.1", **ports}}}
    config, problems = read_config(data=data, env={})
    assert not problems
    return config


@pytest.fixture(scope="session")
def api():
    """The URL of `hub`, a local hub below `region`, a regional one, below `world`: all ready."""
    url, ends = Future(), threading.Event()

    async def federation():
        world = Node(configured("world", "global"))
        async with world:
            region = Node(configured("region", "regional", ("world", world)))
            async with region:
                hub = Node(configured("hub", "local", ("region", region)), services=True)
                async with hub as node:
                    with anyio.fail_after(START_S):
                        while not (node.ready() and len(node.members()) == 3):
                            await anyio.sleep(0.02)
                    url.set_result(f"http://{hub.served['http']}")
                    await anyio.to_thread.run_sync(ends.wait)

    def run():
        try:
            anyio.run(federation)
        except BaseException as error:
            if not url.done():
                url.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield url.result(START_S * 2)
    finally:
        ends.set()
        thread.join(START_S)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No setting of who runs the tests has a say."""
    for name in ("MPREG_API", "MPREG_TOKEN", "MPREG_CONFIG_PATH", "MPREG_PLUGINS", "MPREG_PLUGINS_BLOCK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli():
    """`cli("state", "get", "k")` runs the command line in this process: exit_code, stdout, stderr."""
    return lambda *args: CliRunner().invoke(app, [*args], prog_name="mpreg")


@pytest.fixture
def ask(cli, api, monkeypatch):
    """The same against the federation, by MPREG_API."""
    monkeypatch.setenv("MPREG_API", api)
    return cli


@pytest.fixture
def canned():
    """`canned(200, {...}, {...})`: the URL of a server that answers so in turn, and what it is asked.

    The last answer stays. One that is a text is a stream of events, which then ends.
    """
    servers = []

    def serve(status, *answers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                answer = answers[min(len(asked), len(answers) - 1)]
                asked.append(SimpleNamespace(path=self.path, headers=dict(self.headers.items()), body=body))
                streams = isinstance(answer, str)
                content = (answer if streams else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("content-type", "text/event-stream" if streams else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, format, *args):
                """Quietly."""

        asked = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", asked

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
