"""What goes over the wire, and what status shows. Fields are only ever appended, with defaults."""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core import Item

ITEMS_MAX = 64
"""Of one message; a repair of more goes on with the next comparison."""

STAMPS_MAX = 4096
PASSED_MAX = 64


class Passed(Struct, frozen=True, array_like=True, tag=1):
    """Items on their way along the ring, and how many nodes they passed. `repair` ones go no further."""

    items: Annotated[tuple[Item, ...], Meta(max_length=ITEMS_MAX)]
    hops: Annotated[int, Meta(ge=1, le=65_535)]
    repair: bool = False


class Digest(Struct, frozen=True, array_like=True, tag=2):
    """All that the sender holds, as one number, and the stamps of the messages that passed it lately."""

    root: int
    passed: Annotated[tuple[int, ...], Meta(max_length=PASSED_MAX)]


class Differs(Struct, frozen=True, array_like=True, tag=3):
    """Ours is not the same: the digests of our branches, and of the messages those that the other has not."""

    branches: Annotated[tuple[int, ...], Meta(max_length=64)]
    lacks: Annotated[tuple[int, ...], Meta(max_length=PASSED_MAX)]


class Stamps(Struct, frozen=True, array_like=True, tag=4):
    """The versions held below the branches that differ. `answer` ones are not answered again."""

    branches: Annotated[tuple[int, ...], Meta(max_length=64)]
    stamps: Annotated[dict[str, int], Meta(max_length=STAMPS_MAX)]
    answer: bool = False


RingMessage = Passed | Digest | Differs | Stamps
MESSAGES: tuple[type[RingMessage], ...] = (Passed, Digest, Differs, Stamps)


class RingSnapshot(Struct, frozen=True):
    """What `mpreg status` and checkers see: members on the ring, items passed on, repaired, and seen twice."""

    members: int
    passed: int
    repaired: int
    duplicates: int
