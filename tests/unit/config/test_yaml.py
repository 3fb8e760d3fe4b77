"""Reading YAML that nobody vouches for."""

from pathlib import Path

import pytest

from mpreg_core.config.problems import ConfigProblems
from mpreg_core.config.yaml import NODES_MAX, read_file, read_text
from mpreg_core.limits import CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]\n" for last, this in zip("abcdefgh", "bcdefghi", strict=True)
)


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read_text(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("yes", True),
        ("off", False),
        ("null", None),
        ("", None),
        ("~", None),
        ("12:30", "12:30"),
        ("1:2.5", "1:2.5"),
        ("2024-01-01", "2024-01-01"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("'5'", "5"),
        ("=", "="),
    ],
)
def test_a_scalar_means_what_a_reader_would_take_it_for(text: str, value: object) -> None:
    data, _ = read_text(f"key: {text}", "f.yaml")
    assert data == {"key": value}
    assert isinstance(data, dict)
    assert type(data["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: a: duplicate key, first on line 1"),
        ("a:\n  b: 1\n  b: 2", "f.yaml:3: a.b: duplicate key, first on line 2"),
        ("a: &x [*x]", f"f.yaml:1: nested deeper than {CONFIG_DEPTH_MAX} levels"),
        ("[" * 3000, f"f.yaml:1: not valid YAML: nested deeper than {CONFIG_DEPTH_MAX} levels"),
        ("{a: " * 3000, f"f.yaml:1: not valid YAML: nested deeper than {CONFIG_DEPTH_MAX} levels"),
        (LAUGHS, f"f.yaml:1: expected at most {NODES_MAX} values with aliases expanded, got more"),
        (
            "a: !!python/object/apply:os.system [x]",
            "f.yaml:1: a: tags are not allowed; a text that begins with ! needs",
        ),
        ("a: !!binary aGk=", "f.yaml:1: a: tags are not allowed"),
        ("a: !x {}", "f.yaml:1: a: tags are not allowed"),
        ("a: &d {b: 1}\nc:\n  <<: *d", "f.yaml:3: c: merge keys (<<) are not allowed"),
        ("? [a]\n: 1", "f.yaml:1: expected a text as key, got a mapping or list"),
        ("a: b: c", "f.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("a:\n\tb: 1", "f.yaml:2: not valid YAML: while scanning for the next token, found character"),
        ("a: 1\n\x07", "f.yaml:2: not valid YAML: a control character"),
        ("a: 1\n---\nb: 1", "f.yaml:2: not valid YAML: expected a single document in the stream"),
        ("a: 1e999", "f.yaml:1: a: not a number that can be read"),
        ("a: " + "9" * 5000, "f.yaml:1: a: not a number that can be read"),
        ("a: !!int x", "f.yaml:1: a: not a number that can be read"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.startswith(problem)


@pytest.mark.parametrize("text", ["key: 'hunter2", "key: *hunter2", "key: !hunter2 x", 'key: "hunter2\nb: ['])
def test_an_error_never_quotes_what_may_be_a_secret(text: str) -> None:
    assert "hunter2" not in "".join(problems_of(text))


def test_a_syntax_error_shows_the_marks_it_expected() -> None:
    (found,) = problems_of("node: [a")
    assert found.endswith("expected ',' or ']', but got '<stream end>'")


def test_a_modest_alias_is_expanded() -> None:
    data, _ = read_text("a: &pool {fanout: 3}\nb: *pool", "f.yaml")
    assert data == {"a": {"fanout": 3}, "b": {"fanout": 3}}


def test_nesting_up_to_the_bound_is_read() -> None:
    read_text("[" * CONFIG_DEPTH_MAX + "]" * CONFIG_DEPTH_MAX, "f.yaml")
    too_deep = "[" * (CONFIG_DEPTH_MAX + 1) + "]" * (CONFIG_DEPTH_MAX + 1)
    assert problems_of(too_deep) == [f"f.yaml:1: not valid YAML: nested deeper than {CONFIG_DEPTH_MAX} levels"]


def test_every_key_and_item_has_its_line() -> None:
    _, origins = read_text("a:\n  b: 1\nc:\n  - x\n  - d: 2\n", "f.yaml")
    lines = {path: origin.line for path, origin in origins.items()}
    assert lines == {("a",): 1, ("a", "b"): 2, ("c",): 3, ("c", 0): 4, ("c", 1): 5, ("c", 1, "d"): 5}


def test_a_key_is_the_text_as_written() -> None:
    data, _ = read_text("on: 1\n123: 2\n", "f.yaml")
    assert data == {"on": 1, "123": 2}


def test_a_file_that_is_too_big_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (CONFIG_BYTES_MAX + 1))
    with pytest.raises(ConfigProblems, match="expected at most 1048576 bytes, got more"):
        read_file(path)
    path.write_bytes(b"#" * CONFIG_BYTES_MAX)
    assert read_file(path) == (None, {})


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(ConfigProblems) as caught:
        read_file(path)
    assert str(caught.value) == f"{path}:2: expected UTF-8 text, got other bytes"


@pytest.mark.parametrize(("name", "reason"), [("absent.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigProblems, match=f"cannot be read: {reason}"):
        read_file(tmp_path / name)
