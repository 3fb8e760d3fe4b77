"""Lint as tests: sizes that keep code readable, and words that do not belong in it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# Commands talk to a person: the CLI, and the scripts of contrib.
PRINTS = ("mpreg_core/cli/", "contrib/")

BANNED_CALLS = {
    "print": "emit an event or log; only commands print",
    "breakpoint": "left over from debugging",
    "eval": "data is not code",
    "exec": "data is not code",
}
BANNED_WORDS = {
    "FIXME": "fix it, or say why it stays",
    "TODO": "do it, or open an issue",
    "XXX": "say what is wrong here",
}


def python_files() -> Iterator[tuple[str, str]]:
    """Path from the root, and text, of every Python file that ships."""
    for folder in ("mpreg_core", "plugins", "contrib"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def size_complaints(path: str, source: str) -> list[str]:
    lines = len(source.splitlines())
    complaints = [f"{path}: expected at most {FILE_LINES_MAX} lines, got {lines}"] if lines > FILE_LINES_MAX else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                where = f"{path}:{node.lineno}"
                complaints.append(f"{where}: {node.name}: expected at most {FUNCTION_LINES_MAX} lines, got {length}")
    return complaints


def word_complaints(path: str, source: str) -> list[str]:
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            name = node.func.id
            if name != "print" or not path.startswith(PRINTS):
                complaints.append(f"{path}:{node.lineno}: {name}(): {BANNED_CALLS[name]}")
    for number, line in enumerate(source.splitlines(), start=1):
        complaints += [f"{path}:{number}: {word}: {why}" for word, why in BANNED_WORDS.items() if word in line]
    return complaints


# --- the checkers bite ---


def test_a_file_that_is_too_long_is_found() -> None:
    assert size_complaints("a.py", "x = 1\n" * 400) == []
    assert size_complaints("a.py", "x = 1\n" * 401) == ["a.py: expected at most 400 lines, got 401"]


def test_a_function_that_is_too_long_is_found_at_any_depth() -> None:
    method = "class A:\n    async def f(self):\n" + "        x = 1\n"
    assert size_complaints("a.py", method + "        x = 1\n" * 68) == []
    assert size_complaints("a.py", method + "        x = 1\n" * 69) == ["a.py:2: f: expected at most 70 lines, got 71"]


def test_a_banned_call_is_found_where_it_is_banned() -> None:
    assert word_complaints("mpreg_core/node/core.py", "x = 1\nprint(x)") == [
        "mpreg_core/node/core.py:2: print(): emit an event or log; only commands print"
    ]
    assert word_complaints("mpreg_core/cli/status.py", "print(1)\npprint(2)") == []
    assert word_complaints("mpreg_core/cli/status.py", "eval('1')") == [
        "mpreg_core/cli/status.py:1: eval(): data is not code"
    ]


def test_a_banned_word_is_found_in_a_comment() -> None:
    assert word_complaints("a.py", "x = 1  # FIXME") == ["a.py:1: FIXME: fix it, or say why it stays"]


# --- the tree ---


def test_files_and_functions_stay_short() -> None:
    complaints = [text for path, source in python_files() for text in size_complaints(path, source)]
    assert not complaints, "\n".join(complaints)


def test_no_banned_call_or_word_is_left() -> None:
    complaints = [text for path, source in python_files() for text in word_complaints(path, source)]
    assert not complaints, "\n".join(complaints)
