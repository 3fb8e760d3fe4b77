"""Nodes as processes of their own: started from files made of the guide's, watched over HTTP, ended in any case."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import yaml

HERE = Path(__file__).parent
GUIDE = HERE.parent / "guide" / "production.yaml"

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "mpreg run": ("-m", "mpreg_core", "run"),
    "start_node": ("-m", "mpreg.production.start_node"),
    "serving_node": (str(HERE / "serving_node.py"),),
}
"""The ways to start a node: what follows the interpreter."""

PORTS = ("listen_port", "gossip_port", "membership_port", "consensus_port", "routing_port", "metrics_port")

POLL_S = 0.05
VERB_S = 30
LOG_LINES_SHOWN = 40

# The kernel ends a child whose parent has died, so that not even a killed test run leaves a node behind.
_BOUND_TO_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def until(condition: Callable[[], Any], within_s: float, what: str | Callable[[], str]) -> float:
    """Poll until the condition holds; gives the seconds it took, fails with `what` when the time is over."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within_s:
            pytest.fail(f"not within {within_s} s: {what if isinstance(what, str) else what()}")
        time.sleep(POLL_S)
    return time.monotonic() - began


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def free_ports(_taken: set[int] = set()) -> dict[str, int]:  # noqa: B006  one set for all calls is the point
    """Six ports of a node that nobody listens on now, from below the range of outgoing connections."""
    for _ in range(1000):
        base = random.randrange(10_000, 32_000)
        block = range(base, base + len(PORTS))
        if not _taken.intersection(block) and all(map(_is_free, block)):
            _taken.update(block)
            return dict(zip(PORTS, block, strict=True))
    raise RuntimeError("found no six free ports in a row")


class Api:
    """The HTTP API of one node."""

    def __init__(self, address: str) -> None:
        self._client = httpx2.Client(base_url=address, trust_env=False, timeout=15)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded answer. Raises `OSError` when nobody answers."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise ConnectionError(str(error)) from error
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status_code, answer.json() if is_json else answer.text

    def close(self) -> None:
        self._client.close()


class NodeProcess:
    """One node in a process of its own. `ports` None: those of the file; `api`: the way into its `namespace`."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        command: str = "mpreg run",
        ports: Mapping[str, int] | None = None,
        namespace: str = "",
        api: Any = None,
        flags: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.id: str = config["node"]["id"]
        self.ports = ports or {}
        self.file = folder / f"{self.id}.yaml"
        self.file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        self.log_file = folder / f"{self.id}.log"
        self.started_at = 0.0
        sets = [f"{'monitoring' if key == 'metrics_port' else 'network'}.{key}={at}" for key, at in self.ports.items()]
        options = ["--config", str(self.file), *flags, *(part for each in sets for part in ("--set", each))]
        inside = ("ip", "netns", "exec", namespace) if namespace else ()
        self.argv = (*inside, sys.executable, "-c", _BOUND_TO_PARENT, sys.executable, *COMMANDS[command], *options)
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.api: Api = api or Api(self.address("listen_port"))

    def address(self, port: str) -> str:
        """The URL of one of the node's ports."""
        return f"http://127.0.0.1:{self.ports[port]}"

    # its life

    def start(self) -> "NodeProcess":
        assert self._process is None, f"{self.id} runs already"
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=log, stdout=log, env=self._env)
        self.started_at = time.monotonic()
        return self

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, f"{self.id} does not run"
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, within_s: float) -> int:
        """Wait for the end; gives the exit code."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.id} still runs after {within_s} s")
        self._process = None
        return code

    def kill(self) -> None:
        """End it as a power cut would. Nothing happens if it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self.api.close()

    # what it says

    def get(self, path: str) -> Any:
        """A read that must succeed."""
        status, answer = self.api.call("GET", path)
        assert status == 200, (self.id, path, status, answer)
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer."""
        return self.api.call(method, path, body)

    def answers(self, path: str = "/livez") -> bool:
        """True if it serves `path` with success now. Fails if the process has ended."""
        code = self.process.poll()
        if code is not None:
            pytest.fail(f"{self.id} ended with {code}:\n{self.log()}")
        try:
            return self.api.call("GET", path)[0] == 200
        except OSError:
            return False

    def page(self, path: str) -> str:
        """What its metrics port serves."""
        return httpx2.get(self.address("metrics_port") + path, trust_env=False).text

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        samples = [
            line for line in self.page("/metrics").splitlines() if line.partition("{")[0].partition(" ")[0] == name
        ]
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def members(self, pool: str) -> dict[str, dict[str, Any]]:
        """The members of one of its pools, by id."""
        return {member["id"]: member for member in self.get(f"/api/members?pool={pool}")["members"]}

    def parent(self) -> str | None:
        parent: str | None = self.get("/api/status")["parent_hub"]
        return parent

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def guide_config(name: str, tier: str, region: str, parent: str | None = None, **sections: Any) -> dict[str, Any]:
    """The guide's `production.yaml` for another node; `sections` are laid over it."""
    config: dict[str, Any] = yaml.safe_load(GUIDE.read_text())
    config["node"] |= {"id": name, "hub_tier": tier, "region": region}
    if parent is not None:
        config["node"]["parent_hub"] = parent
    for section, keys in sections.items():
        config[section] = config.get(section, {}) | keys
    return config


def peer_of(ports: Mapping[str, int]) -> dict[str, Any]:
    """An entry of `federation.peers`."""
    return {"host": "127.0.0.1", **{key: port for key, port in ports.items() if key != "metrics_port"}}


class Place(NamedTuple):
    """A node's place in the hierarchy."""

    id: str
    tier: str
    region: str
    parent: str | None = None


GLOBAL = "global-hub-001"
US, EU = "regional-hub-us-east", "regional-hub-eu-west"
LOCAL = {"nyc-01": US, "nyc-02": US, "ldn-01": EU, "ldn-02": EU}
REGION = {US: "us-east", EU: "eu-west"}

THREE_TIERS = (
    Place(GLOBAL, "global", "us-east"),
    *(Place(hub, "regional", region, GLOBAL) for hub, region in REGION.items()),
    *(Place(f"local-hub-{site}", "local", REGION[hub], hub) for site, hub in LOCAL.items()),
    *(Place(f"cluster-{site}", "cluster", REGION[hub], f"local-hub-{site}") for site, hub in LOCAL.items()),
)
"""The guide's hierarchy: 1 global, 2 regional and 4 local hubs, a cluster node below each local hub."""


class Federation:
    """Nodes by id, and who shall be with whom in which pool."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = {place.id: place for place in places}
        self.nodes: dict[str, NodeProcess] = {}
        self.pools: dict[str, set[str]] = {}
        for place in places:
            lower = {"regional": f"regional:{place.region}", "local": f"local:{place.id}"}.get(place.tier, "")
            for pool in filter(None, (lower, self.upper_pool(place))):
                self.pools.setdefault(pool, set()).add(place.id)

    def upper_pool(self, place: Place) -> str:
        """The pool that a node joins through its parent."""
        upper = {"local": f"regional:{place.region}", "cluster": f"local:{place.parent}"}
        return upper.get(place.tier, "global")

    def __getitem__(self, node: str) -> NodeProcess:
        return self.nodes[node]

    def tier(self, *tiers: str) -> list[NodeProcess]:
        """The nodes of some tiers."""
        return [self.nodes[place.id] for place in self.places.values() if place.tier in tiers]

    def start_all(self) -> float:
        """Start every node and wait until all pools are complete; gives the seconds since the last start."""
        *others, last = self.nodes.values()
        for node in others:
            node.start()
        for node in others:
            until(node.answers, 40, f"{node.id} serves")
        last.start()
        until(last.answers, 20, f"{last.id} serves")
        self.until_whole()
        return time.monotonic() - last.started_at

    def until_whole(self) -> None:
        """Wait until every pool is complete, and all its members vote."""
        until(lambda: not self.missing(), 30, lambda: "\n".join(self.missing()))

    def missing(self) -> list[str]:
        """Where a member of a pool does not see just the others alive and voting, and its parent as configured."""
        found = []
        voters = {
            (node, pool["pool"]): set(pool["voters"])
            for node in self.places
            for pool in self.nodes[node].get("/api/consensus/status")["pools"]
        }
        for pool, ids in sorted(self.pools.items()):
            for node in sorted(ids):
                members = self.nodes[node].members(pool)
                seen = {name for name, member in members.items() if member["status"] == "alive"}
                if seen != ids:
                    found.append(f"{node} in {pool}: expected {sorted(ids)}, sees {sorted(seen)} alive")
                if voters.get((node, pool)) != ids:
                    found.append(f"{node} in {pool}: expected {sorted(ids)} to vote, has {voters.get((node, pool))}")
        for place in self.places.values():
            if place.parent and (parent := self.nodes[place.id].parent()) != place.parent:
                found.append(f"{place.id}: expected parent {place.parent}, has {parent}")
        return found


class Toolbox:
    """What tests of this folder work with; test modules cannot import from here."""

    until = staticmethod(until)
    guide_config = staticmethod(guide_config)
    peer_of = staticmethod(peer_of)
    free_ports = staticmethod(free_ports)
    Place = Place
    Federation = Federation
    three_tiers = THREE_TIERS
    guide = GUIDE

    def __init__(self) -> None:
        self.nodes: list[NodeProcess] = []
        self.mounts: list[Path] = []

    def node(self, folder: Path, config: Mapping[str, Any], **options: Any) -> NodeProcess:
        """A node that is ended with the tests it belongs to."""
        made = NodeProcess(folder, config, **options)
        self.nodes.append(made)
        return made

    def mpreg(self, *arguments: object, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Run a verb to its end: exit code, standard output, standard error."""
        command = (sys.executable, "-m", "mpreg_core", *map(str, arguments))
        whole = {**os.environ, **(env or {})}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=VERB_S, env=whole)
        return done.returncode, done.stdout, done.stderr

    def mount(self, options: str, folder: Path) -> None:
        """Mount a small disk of memory on a folder until the end; skips the test where that is not allowed."""
        words = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("the command `mount` is not installed")
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        self.mounts.append(folder)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        for folder in self.mounts:
            subprocess.run(("umount", str(folder)), check=False)
        self.mounts.clear()


@pytest.fixture
def tools() -> Iterator[Toolbox]:
    """For one test."""
    tools = Toolbox()
    try:
        yield tools
    finally:
        tools.close()


@pytest.fixture(scope="module")
def module_tools() -> Iterator[Toolbox]:
    """For all tests of a module."""
    tools = Toolbox()
    try:
        yield tools
    finally:
        tools.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the ends of the nodes' logs with a failure."""
    report = yield
    if report.failed:
        used = getattr(item, "funcargs", {}).values()
        for node in {id(node): node for tools in used if isinstance(tools, Toolbox) for node in tools.nodes}.values():
            lines = node.log().splitlines()[-LOG_LINES_SHOWN:]
            report.sections.append((f"log of {node.id}", "\n".join(lines)))
    return report
