"""Failover policies: which regions serve a service, in which order, and in which shares.

A policy is a replicated key of the whole federation, `mpreg.failover/<service>`, so that it is one for all callers, as
a prepared query of Consul's is. Its value names groups of regions; the first with somebody alive is used:

    {"groups": [{"local": 1}, {"eu-west": 9, "us-east": 1}]}

`local` is the region of the hub that decides. Within a group a region gets requests by its weight.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert

from mpreg_core.contracts.api import Json, Scope
from mpreg_core.errors import InvalidInputError
from mpreg_core.ids import Region

PREFIX = "mpreg.failover/"
LOCAL = "local"

_Name: TypeAlias = Annotated[Region, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_Weight: TypeAlias = Annotated[float, Meta(gt=0, le=1e6)]
Group: TypeAlias = Annotated[dict[_Name, _Weight], Meta(min_length=1, max_length=64)]


class Failover(Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a policy."""

    groups: Annotated[tuple[Group, ...], Meta(min_length=1, max_length=8)]

    def order(self, alive: Collection[Region], here: Region, draw: Callable[[], float]) -> Sequence[Region]:
        """The regions to try, of those where somebody is alive: by group, in each by chance in proportion to weight.

        `draw` gives a number from 0 to 1 (excluded) by chance, all equally likely.
        Drawing by the largest u^(1/weight) gives each the chance of its weight at every place (Efraimidis and Spirakis
        2006, "Weighted random sampling with a reservoir").
        """
        found: list[Region] = []
        for group in self.groups:
            named = {here if region == LOCAL else region: weight for region, weight in sorted(group.items())}
            drawn = [(draw() ** (1 / weight), region) for region, weight in named.items() if region in alive]
            found += [region for _, region in sorted(drawn, reverse=True) if region not in found]
        return found


def check_failover(key: str, value: Json, scope: Scope) -> None:
    """Raises `InvalidInputError` for a policy's key with a value that is none, or of a scope where it says nothing."""
    if not key.startswith(PREFIX):
        return
    read_failover(value, key)
    if scope != "federation":
        raise InvalidInputError(f"expected scope federation for a failover policy, got {scope}", where=key)


def read_failover(value: Json, where: str) -> Failover:
    """A policy from its key's value. Raises `InvalidInputError` that names what is wrong with it."""
    try:
        return convert(value, Failover)
    except ValidationError as error:
        form = '{"groups": [{"<region or local>": <weight>}]}'
        raise InvalidInputError(f"expected a failover policy {form}: {error}", where=where) from None
