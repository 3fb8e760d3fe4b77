"""Policy `map`: an object whose fields, at any depth, are written independently; of two writes to one, the last wins.

A flat table from path to register. A register at a path also speaks for all below it: what it is newer than is gone.
So replacing or removing a whole branch is one register, the removal of the whole map is the register at the root, and
merging is the pointwise maximum followed by dropping what a newer ancestor covers. A register only ever grows, so what
is covered once stays covered, and the order of merges does not matter.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Self

from msgspec import field

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.errors import InvalidInputError
from mpreg_core.state.registers import Register
from mpreg_core.state.value import GONE, NESTING_MAX, State, Write, decode_value, encode_value

ROOT = ""
"""Paths are JSON pointers (RFC 6901): `/a/b` is field b of field a, with `~` and `/` in names as `~0` and `~1`."""


class Fields(State, frozen=True, array_like=True, tag=6):
    """`registers`: path -> what was last written there. Empty objects and lists are leaves, other objects are not."""

    policy: ClassVar[StatePolicy] = "map"
    registers: dict[str, Register] = field(default_factory=dict)

    def merge(self, other: Self) -> Self:
        registers = dict(self.registers)
        for path, theirs in other.registers.items():
            ours = registers.get(path)
            if ours is None or theirs.order() > ours.order():
                registers[path] = theirs
        return type(self)(_uncovered(registers))

    def write(self, value: Json, by: Write) -> Self:
        """Merge fields in; a field that is null is removed. An empty object takes nothing away."""
        if not isinstance(value, dict):
            raise InvalidInputError(f"expected an object of fields for a map, got {value!r:.80}")
        objects = self._objects()
        leaves = {
            path: Register(by.stamp, by.node, text)
            for path, text in _leaves(decode_value(encode_value(value)))
            if text != b"{}" or path not in objects
        }
        return type(self)(_uncovered(self.registers | leaves)) if leaves else self

    def erase(self, by: Write) -> Self:
        return type(self)({ROOT: Register(by.stamp, by.node, GONE)})

    def alive(self) -> bool:
        root = self.registers.get(ROOT)
        # What is left below a removed root was written after the removal.
        return len(self.registers) > 1 or (bool(self.registers) and (root is None or root.text != GONE))

    def stamp(self) -> int:
        return max((register.stamp for register in self.registers.values()), default=0)

    def read(self) -> Json:
        tree: dict[str, Json] = {ROOT: {}}
        for path in sorted(self.registers, key=lambda path: (path.count("/"), path)):
            text = self.registers[path].text
            if text == GONE:
                continue
            *above, name = (part.replace("~1", "/").replace("~0", "~") for part in path.split("/"))
            branch = tree
            for part in above:
                child = branch.get(part)
                if not isinstance(child, dict):
                    branch[part] = child = {}
                branch = child
            branch[name] = decode_value(text)
        return tree[ROOT]

    def _objects(self) -> set[str]:
        """The paths at which an object is seen."""
        objects = {path for path, register in self.registers.items() if register.text == b"{}"}
        for path, register in self.registers.items():
            if register.text != GONE:
                while path := path.rpartition("/")[0]:
                    objects.add(path)
        return objects | ({ROOT} if self.alive() else set())

    def texts(self) -> Iterable[bytes]:
        return [register.text for register in self.registers.values()]

    def check(self) -> None:
        super().check()
        for path in self.registers:
            if (path != ROOT and not path.startswith("/")) or path.count("/") > NESTING_MAX:
                raise ValueError(f"expected a path of at most {NESTING_MAX} names, each after a '/', got {path!r:.80}")


def _leaves(value: Json) -> Iterator[tuple[str, bytes]]:
    """Path and text of each leaf; `GONE` for null."""
    branches: list[tuple[str, Json]] = [(ROOT, value)]
    while branches:
        path, item = branches.pop()
        if isinstance(item, dict) and item:
            for name, child in item.items():
                branches.append((f"{path}/{name.replace('~', '~0').replace('/', '~1')}", child))
        else:
            yield path, GONE if item is None else encode_value(item)


def _uncovered(registers: dict[str, Register]) -> dict[str, Register]:
    kept = {}
    for path, register in registers.items():
        above, when = path, (register.stamp, register.node)
        while above:
            above = above.rpartition("/")[0]
            cover = registers.get(above)
            if cover is not None and (cover.stamp, cover.node) >= when:
                break
        else:
            kept[path] = register
    return kept
