"""Three nodes of one pool through kills, stops, cuts, loss, delay, disorder and jumps of a clock, while clients work.

What the clients saw is judged: linearizable operations by the checker, eventual writes by being there in the end,
watched changes by coming in one order everywhere.
"""

import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from chaos import Client, Record, Wires, clients_of
from network_hosts import ApiInside, network_of
from slow_switch import Way
from watching import disagreement, watchers_of

from mpreg_core.sim.linearizability import not_linearizable, register

pytestmark = [pytest.mark.integration, pytest.mark.namespaces, pytest.mark.slow, pytest.mark.timeout(180)]

HUB, ONE, TWO = NAMES = ("local-hub-1", "cluster-1", "cluster-2")
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
ACROSS_AN_OCEAN = Way(40)
OUT_OF_ORDER = Way(jitter_ms=50)
STEP = 24
"""Answers that must come in each trouble before the next."""


@pytest.fixture(scope="module")
def hosts():
    with network_of(NAMES, slow=True) as hosts:
        yield hosts


@pytest.fixture(params=["raft", "quorum"])
def pool(request, tools, hosts, tmp_path):
    """The nodes by name, running and complete."""
    nodes = {}
    for name in NAMES:
        parent = None if name == HUB else HUB
        tier, data = "cluster" if parent else "local", {"data_dir": str(tmp_path / "data")}
        config = tools.guide_config(name, tier, "us-east", parent, node=data)
        config["consensus"] = {"strategy": request.param}
        nodes[name] = tools.node(
            tmp_path, config, namespace=hosts.of[name], api=ApiInside(hosts.of[name]), env=clock_env(tmp_path, name)
        )
    for node in nodes.values():
        node.start()
    tools.until(lambda: is_whole(nodes), 30, "the pool is complete")
    yield nodes
    Wires(hosts).mend()
    hosts.set_all_ways(Way())


def clock_env(folder, name):
    """An environment in which the wall clock of node ONE is what a file says."""
    if FAKETIME is None or name != ONE:
        return {}
    file = folder / "clock"
    file.write_text("+0")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def is_whole(nodes):
    for node in nodes.values():
        if not node.answers():
            return False
        (pool,) = node.get("/api/consensus/status")["pools"]
        if len(pool["voters"]) < len(nodes) or not pool["stats"].get("ready", True):
            return False
    return True


def engines(nodes):
    """What the engines say of themselves, for a failure's text."""
    told = {}
    for name, node in nodes.items():
        try:
            (pool,) = node.get("/api/consensus/status")["pools"]
            told[name] = pool["stats"] | {"voters": pool["voters"], "wanted": pool["wanted"]}
        except OSError as error:
            told[name] = str(error)
    return told


class Troubles:
    """Each is a context: it lasts as long as the body."""

    def __init__(self, tools, nodes, hosts, folder):
        self._tools = tools
        self._nodes = nodes
        self._hosts = hosts
        self._wires = Wires(hosts)
        self._folder = folder

    @contextmanager
    def killed(self, *names):
        for name in names:
            self._nodes[name].kill()
        yield
        for name in names:
            self._nodes[name].start()
        for name in names:
            self._tools.until(self._nodes[name].answers, 20, f"{name} is back")

    def all_killed_at_once(self):
        with self.killed(*NAMES):
            pass

    @contextmanager
    def stopped(self, name):
        self._nodes[name].signal(signal.SIGSTOP)
        yield
        self._nodes[name].signal(signal.SIGCONT)

    @contextmanager
    def cut(self, name):
        self._wires.cut(name, [other for other in NAMES if other != name])
        yield
        self._wires.mend()

    @contextmanager
    def deaf(self, name):
        for other in NAMES:
            if other != name:
                self._wires.block(other, name)
        yield
        self._wires.mend()

    @contextmanager
    def lossy(self):
        for name in NAMES:
            self._wires.lose(name, 0.1)
        yield
        self._wires.mend()

    @contextmanager
    def far(self, way):
        self._hosts.set_all_ways(way)
        yield
        self._hosts.set_all_ways(Way())

    @contextmanager
    def jumped(self):
        file = self._folder / "clock"
        if file.exists():
            file.write_text("+1h")
        yield
        if file.exists():
            file.write_text("+0")


def test_what_clients_saw_through_all_troubles_is_linearizable_and_no_acknowledged_write_is_lost(
    pool, tools, hosts, tmp_path
):
    record, troubles = Record(), Troubles(tools, pool, hosts, tmp_path)

    def progress():
        enough = record.answered + STEP
        tools.until(lambda: record.answered >= enough, 40, lambda: f"clients are answered: {engines(pool)}")

    with watchers_of(pool, hosts) as watchers, clients_of(pool.values(), record):
        progress()
        for trouble in (
            troubles.killed(ONE),
            troubles.killed(HUB),
            troubles.stopped(HUB),
            troubles.stopped(TWO),
            troubles.cut(HUB),
            troubles.cut(TWO),
            troubles.deaf(ONE),
            troubles.lossy(),
            troubles.far(ACROSS_AN_OCEAN),
            troubles.far(OUT_OF_ORDER),
            troubles.jumped(),
        ):
            with trouble:
                progress()
            progress()
        troubles.all_killed_at_once()
        progress()
    assert not_linearizable(record.history, register, None) == ""
    unknown = sum(operation.ended_s is None for operation in record.history)
    changes = [len(stretch) for watcher in watchers for stretch in watcher.seen]
    sys.stdout.write(f"{len(record.history)} operations, {unknown} of unknown end, {len(record.eventual)} eventual; ")
    sys.stdout.write(f"{sum(changes)} changes watched in {len(changes)} stretches\n")
    assert min(sum(map(len, watcher.seen)) for watcher in watchers) > STEP
    assert disagreement(watchers) == ""

    def missing():
        return [
            (name, key)
            for name, node in pool.items()
            for key, value in record.eventual.items()
            if node.ask("GET", f"/api/state/{key}?scope=pool")[1].get("value") != value
        ][:5]

    assert len(record.eventual) > STEP
    tools.until(lambda: not missing(), 30, lambda: f"acknowledged and not there: {missing()}")


def test_the_checker_bites_when_stale_reads_are_allowed(pool, tools, hosts):
    """What an eventual read may say of a node that was cut off, a linearizable one may not."""
    record, wires = Record(), Wires(hosts)
    writer, reader = Client(pool[HUB], record), Client(pool[TWO], record)
    writer.ask("PUT", "k", ("write", "old"), {"value": "old"})
    tools.until(lambda: pool[TWO].ask("GET", "/api/state/k?scope=pool")[0] == 200, 10, "it is there, too")
    assert not_linearizable(record.history, register, None) == ""
    wires.cut(TWO, [HUB, ONE])
    writer.ask("PUT", "k", ("write", "new"), {"value": "new"})
    tools.until(lambda: (writer.read("k") or {}).get("value") == "new", 20, "the others go on")
    assert reader.read("k") is None  # it has no majority, and says so
    assert not_linearizable(record.history, register, None) == ""
    assert reader.read("k", "eventual")["value"] == "old"
    assert "no order" in not_linearizable(record.history, register, None)
