"""Log lines over the standard `logging`: JSON for machines, one calm line for people.

Nodes and plugins log with `logging.getLogger(...)` and pass fields by `extra={...}`; both formats show them.
"""

import logging
import re
from datetime import UTC, datetime
from typing import IO, Literal

import msgspec

LogFormat = Literal["json", "console"]

# What every record has; all else on it came from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

# C0 and C1 controls and DEL: in a terminal they move the cursor or forge lines (uvicorn CVE-2020-7694).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

_COLOURS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}
_DIM = "2"

_json = msgspec.json.Encoder(enc_hook=str)


def extra_fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields a caller passed by `extra`, in its order."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def without_controls(text: str) -> str:
    """`text` with every control character shown as its escape, so that it stays on its line."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _as_text(value: object) -> str:
    """The value's text; half a surrogate pair, as in a file name that is no UTF-8, is shown as its escape."""
    return str(value).encode(errors="backslashreplace").decode()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `ts` (RFC 3339, UTC), `level`, `logger`, `message`, the extra fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Encode a record. An extra field that is called like one of ours gives way; what JSON lacks is its text."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in extra_fields(record).items() if name not in line)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return _json.encode(line).decode()
        except (TypeError, ValueError, RecursionError):
            return _json.encode({key: _as_text(value) for key, value in line.items()}).decode()


class ConsoleFormatter(logging.Formatter):
    """`12:03:55 WARNING  mpreg.node  member failed  node=a1 pool=local:b`, local time; a traceback follows indented."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Lay out a record. A level of INFO goes without saying, so that trouble stands out."""
        level = "" if record.levelno == logging.INFO else record.levelname
        fields = " ".join(f"{name}={value}" for name, value in extra_fields(record).items())
        parts = [
            self._paint(self.formatTime(record, self.datefmt), _DIM),
            self._paint(f"{level:8}", _COLOURS.get(record.levelno, _DIM)) if level else "",
            self._paint(without_controls(record.name), _DIM),
            without_controls(record.getMessage()),
            self._paint(without_controls(fields), _DIM) if fields else "",
        ]
        line = "  ".join(part for part in parts if part)
        if record.exc_info:
            trace = _CONTROL_BUT_LINES.sub("?", self.formatException(record.exc_info))
            line += "".join(f"\n    {text}" for text in trace.splitlines())
        return line

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def configure(level: str, style: LogFormat, stream: IO[str]) -> None:
    """Send everything of `level` (DEBUG, INFO, WARNING ...) and above to `stream`; replaces what was configured.

    Colour only where the stream is a terminal. Raises `ValueError` on an unknown level.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter(colour=stream.isatty()))
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [handler]
