"""What members say to each other. Fields are only ever appended, with defaults.

Link -> Linked | Unlink                       the overlay: links that both ends know
Gossip, IHave -> Graft -> Gossip, Prune       the tree over it
Digest -> Differs -> Stamps -> Gossip         comparing, with anyone
"""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core import DIGEST_FANOUT, Item

PARTS_MAX = 1024
"""Items, ids or keys in one message."""

Uint63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Ids = Annotated[tuple[Uint63, ...], Meta(max_length=PARTS_MAX)]
Branches = Annotated[tuple[Uint63, ...], Meta(max_length=DIGEST_FANOUT)]
BranchNumbers = Annotated[tuple[Annotated[int, Meta(ge=0, lt=DIGEST_FANOUT)], ...], Meta(max_length=DIGEST_FANOUT)]


class Link(Struct, frozen=True, array_like=True, tag=1):
    """Be my neighbour. `urgent`: the sender has none, so do not refuse."""

    urgent: bool


class Linked(Struct, frozen=True, array_like=True, tag=2):
    """The answer: yes or no."""

    yes: bool


class Unlink(Struct, frozen=True, array_like=True, tag=3):
    """We are neighbours no more."""


class Carried(Struct, frozen=True, array_like=True):
    """An item on its way. `hops` counts from its origin; after a repair, where that is not known, it is 1."""

    item: Item
    hops: Annotated[int, Meta(ge=1)]


class Gossip(Struct, frozen=True, array_like=True, tag=4):
    """Items, down the tree; or `repair`: asked for, or found missing."""

    items: Annotated[tuple[Carried, ...], Meta(max_length=PARTS_MAX)]
    repair: bool = False


class IHave(Struct, frozen=True, array_like=True, tag=5):
    """Lazy push: what the sender has, should the tree fail to bring it."""

    ids: Ids


class Graft(Struct, frozen=True, array_like=True, tag=6):
    """Send me these; and, if we are linked, make the link one of the tree."""

    ids: Ids


class Prune(Struct, frozen=True, array_like=True, tag=7):
    """What you sent was here already: only announce, from now on."""


class Digest(Struct, frozen=True, array_like=True, tag=8):
    """What the sender holds: the root of its kept items, and the XOR of the ids of messages born in a window."""

    root: Uint63
    since_ms: int
    until_ms: int
    messages: Uint63


class Differs(Struct, frozen=True, array_like=True, tag=9):
    """Not the same here: our branches (none if the roots agree), and the ids of our messages in your window."""

    branches: Branches
    ids: Ids


class Stamps(Struct, frozen=True, array_like=True, tag=10):
    """The versions held below some branches. `answer` ones are not answered with stamps again."""

    branches: BranchNumbers
    stamps: Annotated[dict[str, Uint63], Meta(max_length=4 * PARTS_MAX)]
    answer: bool = False


PlumtreeMessage = Link | Linked | Unlink | Gossip | IHave | Graft | Prune | Digest | Differs | Stamps
MESSAGES: tuple[type[PlumtreeMessage], ...] = (
    Link, Linked, Unlink, Gossip, IHave, Graft, Prune, Digest, Differs, Stamps,
)  # fmt: skip
