"""State policies of plugins: how concurrent values of a replicated key become one."""

from collections.abc import Callable
from dataclasses import dataclass

from mpreg_core.contracts.api import Json

MergeFunction = Callable[[Json, Json], Json]
"""(one value, another) -> the value that stands for both. See `MergePolicySpec`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePolicySpec:
    """A policy that keys choose as `custom:<name>`.

    - `name`: lower case, digits, `_`, `-`.
    - `summary`: one line for `mpreg plugins list`.
    - `merge`: pure, and commutative, associative and idempotent on the values it is made for; the kit tries the laws
      on `samples`. It may raise on others: then a write is refused, and concurrent values stay as conflicts.
    - `samples`: at least three typical JSON values, the odd ones among them.

    A write is merged with the value held; concurrent writes are kept until a later one, and merged for each reader.
    So replicas hold the same whatever the function does, and a node without the plugin relays what it cannot merge.
    """

    name: str
    summary: str
    merge: MergeFunction
    samples: tuple[Json, ...]
