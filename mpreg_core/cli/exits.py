"""Exit codes, and the one way in which a verb ends with an error."""

import sys
from typing import NoReturn

DONE, NO, USAGE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 78
"""Done; the answer is no; wrong usage; the node could not be reached; configuration or plugins that `run` refuses."""


def say(text: str) -> None:
    """Words go to stderr; stdout is for data."""
    print(text, file=sys.stderr)


def fail(text: str, code: int = NO) -> NoReturn:
    """Say why and end."""
    say(f"mpreg: {text}")
    raise SystemExit(code)
