"""Log lines: what a machine reads and what a person sees."""

import io
import json
import logging
import sys

import pytest

from mpreg_core.observe.log import ConsoleFormatter, JsonFormatter, configure


def record(message="node started", level=logging.INFO, *, error=None, **extra):
    made = logging.LogRecord("mpreg.node", level, "", 0, message, None, None)
    made.created = 0.5
    made.exc_info = (type(error), error, error.__traceback__) if error else None
    made.__dict__.update(extra)
    return made


def raised(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def as_json(*args, **fields):
    line = JsonFormatter().format(record(*args, **fields))
    assert "\n" not in line
    return json.loads(line)


def test_a_json_line_has_the_time_in_utc_and_the_extra_fields():
    assert as_json(node_id="a", hub_tier="global") == {
        "ts": "1970-01-01T00:00:00.500Z",
        "level": "INFO",
        "logger": "mpreg.node",
        "message": "node started",
        "node_id": "a",
        "hub_tier": "global",
    }


def test_an_extra_field_cannot_take_the_place_of_ours():
    assert as_json(level="DEBUG", ts="never")["ts"] == "1970-01-01T00:00:00.500Z"


@pytest.mark.parametrize("value", [{1, 2}, object(), {(1, 2): 3}, 1 << 70, float("nan"), "\ud800"])
def test_a_field_that_json_lacks_still_gives_a_line(value):
    assert as_json(field=value)["message"] == "node started"


def test_an_exception_is_in_the_line():
    assert "ValueError: bad port" in as_json(error=raised("bad port"))["exception"]


def console(*args, colour=False, **fields):
    return ConsoleFormatter(colour=colour).format(record(*args, **fields))


def test_a_console_line_is_short_and_info_goes_without_saying():
    line = console(node="a", pool="global")
    assert line.endswith("  mpreg.node  node started  node=a pool=global")
    assert len(line) < 80
    assert "WARNING" in console(level=logging.WARNING)


def test_colour_comes_only_when_asked_for():
    assert "\x1b" not in console(level=logging.ERROR, node="a")
    assert "\x1b[31m" in console(level=logging.ERROR, colour=True)


@pytest.mark.parametrize("hostile", ["a\nFAKE LINE", "a\x1b[2J", "a\x9b2J", "a\rb", "a\x00"])
def test_text_from_the_network_cannot_move_the_cursor_or_forge_a_line(hostile):
    for line in (console(hostile), console(name=hostile)):
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)


def test_a_traceback_follows_indented_and_without_controls():
    first, *rest = console("it broke", error=raised("bad\x1b[2J")).split("\n")
    assert "it broke" in first
    assert all(line.startswith("    ") and "\x1b" not in line for line in rest)


@pytest.fixture
def restored():
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.mark.usefixtures("restored")
def test_configure_sends_what_is_of_the_level_to_the_stream():
    stream = io.StringIO()
    configure("warning", "json", stream)
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").warning("loud", extra={"n": 1})
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["loud"]
    with pytest.raises(ValueError, match="Unknown level"):
        configure("chatty", "json", sys.stderr)


@pytest.mark.usefixtures("restored")
def test_a_stream_that_is_no_terminal_gets_no_colour():
    stream = io.StringIO()
    configure("INFO", "console", stream)
    logging.getLogger("x").error("loud")
    assert "\x1b" not in stream.getvalue()
