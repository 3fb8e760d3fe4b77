"""Verbs that go on: they print what happens as it happens, and Ctrl-C ends them without a traceback."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

DEADLINE_S = 15.0
INTERRUPTED = 130


class Running:
    """A verb in a process of its own."""

    def __init__(self, api, *args, stdout=subprocess.PIPE):
        env = os.environ | {"MPREG_API": api, "COLUMNS": "80", "LINES": "40", "TERM": "dumb", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "mpreg_core", *args]
        self.process = subprocess.Popen(command, env=env, stdout=stdout, stderr=subprocess.PIPE)

    def line(self, nudge=lambda: None):
        """The next line it prints; `nudge` is called now and then until there is one."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            nudge()
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                return self.process.stdout.readline().decode()
        raise AssertionError("it printed nothing")

    def interrupt(self):
        """Ctrl-C; gives exit code and stderr."""
        self.process.send_signal(signal.SIGINT)
        self.rest, stderr = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, stderr.decode()


@pytest.fixture
def start(api):
    running = []

    def begin(*args, url=api, **kwargs):
        running.append(Running(url, *args, **kwargs))
        return running[-1]

    yield begin
    for verb in running:
        if verb.process.poll() is None:
            verb.process.kill()
            verb.process.communicate()
        for pipe in (verb.process.stdout, verb.process.stderr):
            if pipe is not None:
                pipe.close()


def test_a_watched_key_is_printed_now_and_when_it_changes(start, ask):
    ask("state", "put", "watched", "1")
    watch = start("state", "watch", "watched")
    assert json.loads(watch.line())["value"] == 1
    ask("state", "put", "watched", "2")
    assert json.loads(watch.line())["value"] == 2
    ask("state", "delete", "watched")
    assert json.loads(watch.line())["deleted"] is True
    assert watch.interrupt() == (INTERRUPTED, "")


def test_messages_are_printed_as_they_come(start, ask):
    subscriber = start("subscribe", "orders.#", "--output", "table")
    line = subscriber.line(lambda: ask("publish", "orders.eu", '{"id": 7}'))
    assert line == 'orders.eu  {"id": 7}  from hub\n'
    assert subscriber.interrupt() == (INTERRUPTED, "")


def test_events_are_followed(start, ask):
    follower = start("events", "--follow")
    marker = json.dumps("follow me")
    lines = []
    while "follow-me" not in "".join(lines):
        lines.append(follower.line(lambda: ask("state", "put", "follow-me", marker)))
    assert json.loads(lines[-1])["event"]["type"] == "StateChanged"
    assert follower.interrupt() == (INTERRUPTED, "")


def test_a_watch_prints_a_line_for_each_change(start, ask):
    ask("state", "put", "seen/a", "1")
    watch = start("state", "list", "seen/", "--watch", "0.1")
    assert len(json.loads(watch.line())["entries"]) == 1
    ask("state", "put", "seen/b", "1")
    assert len(json.loads(watch.line())["entries"]) == 2
    assert watch.interrupt() == (INTERRUPTED, "")


def test_a_watch_prints_nothing_while_nothing_changes(start, canned):
    url, asked = canned(200, {"members": []})
    watch = start("members", "--watch", "0.1", url=url)
    watch.line()
    until = time.monotonic() + DEADLINE_S
    while len(asked) < 5 and time.monotonic() < until:
        select.select([watch.process.stdout], [], [], 0.1)
    assert len(asked) >= 5
    assert watch.interrupt() == (INTERRUPTED, "")
    assert watch.rest == b""


def test_a_stream_that_broke_goes_on_where_it_ended(start, canned):
    happened = {"at": 0, "node": "n", "pool": "", "event": {"type": "Published"}}
    url, asked = canned(200, *(f"id: e-{number}\ndata: {json.dumps(happened)}\n\n" for number in (1, 2)))
    follower = start("events", "--follow", url=url)
    assert json.loads(follower.line()) == happened
    follower.line()
    assert [one.headers.get("last-event-id") for one in asked[:2]] == ["all", "e-1"]
    code, words = follower.interrupt()
    assert code == INTERRUPTED
    assert "the node ended the stream; trying for 30 s more" in words


def test_a_reader_that_goes_away_ends_the_verb(start, ask):
    follower = start("events", "--follow")
    follower.line(lambda: ask("state", "put", "noise", "1"))
    follower.process.stdout.close()
    follower.process.stdout = None
    until = time.monotonic() + DEADLINE_S
    while follower.process.poll() is None and time.monotonic() < until:
        ask("state", "put", "noise", "1")
    assert follower.process.poll() == 1
    assert follower.process.stderr.read() == b""


@pytest.mark.parametrize(
    "args",
    [
        ("status",), ("health",), ("members",), ("topology",), ("events",),
        ("plugins", "list"), ("plugins", "show", "phi"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_on_a_terminal_a_table_fits_80_columns(start, args):
    near, far = pty.openpty()
    verb = start(*args, stdout=far)
    os.close(far)
    printed = b""
    while True:
        try:
            chunk = os.read(near, 65536)
        except OSError:  # Linux ends a terminal so
            break
        if not chunk:
            break
        printed += chunk
    os.close(near)
    assert verb.process.wait(DEADLINE_S) == 0
    lines = printed.decode().splitlines()
    assert lines
    assert not lines[0].startswith(("{", "["))
    if args != ("events",):  # a line of a log is not folded
        assert max(map(len, lines)) <= 80
