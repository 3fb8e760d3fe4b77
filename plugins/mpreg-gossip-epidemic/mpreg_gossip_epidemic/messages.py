"""What members of an epidemic pool say to each other. Fields are only ever appended, with defaults.

Two conversations, both without a session: whoever answers looks at what it holds now.

    News                                                     a push: what the sender has just heard
    Digest -> Branches -> Leaves -> News or Stamps -> News or Want -> News       the kept items, by their digest tree
    Digest -> Ids -> News or Pull -> News                                        the recent messages, by their ids

`Stamps` and `Ids` without leaves and slices are offers: large items are not pushed but offered.
"""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core import DIGEST_FANOUT, Item
from mpreg_core.limits import FRAME_BYTES_MAX

LEAVES = DIGEST_FANOUT * DIGEST_FANOUT
SLICES_MAX = 16
"""Slices of recent messages in one `Digest`."""

PARTS_MAX = 4096
"""Items, keys or ids in one message."""

Uint63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
MessageIds = Annotated[tuple[Uint63, ...], Meta(max_length=PARTS_MAX)]
Digests = Annotated[tuple[Uint63, ...], Meta(max_length=DIGEST_FANOUT)]


class Carried(Struct, frozen=True, array_like=True):
    """An item on its way. `hops` counts from its origin; where that is not known, after a repair, it is 1."""

    item: Item
    hops: Annotated[int, Meta(ge=1)]


class Slice(Struct, frozen=True, array_like=True):
    """The XOR of the ids of the recent messages that were born in one second (of their origins' wall clocks)."""

    second: int
    digest: Uint63


class News(Struct, frozen=True, array_like=True, tag=1):
    """Items. `repair`: found missing at the receiver; `more`: there is more missing, ask again at once."""

    items: Annotated[tuple[Carried, ...], Meta(max_length=PARTS_MAX)]
    repair: bool = False
    more: bool = False


class Packed(Struct, frozen=True, array_like=True, tag=2):
    """A compressed `News` (zlib)."""

    data: Annotated[bytes, Meta(max_length=FRAME_BYTES_MAX)]


class Digest(Struct, frozen=True, array_like=True, tag=3):
    """What the sender holds: the root of its kept items' tree, and the slices of its recent messages."""

    root: Uint63
    slices: Annotated[tuple[Slice, ...], Meta(max_length=SLICES_MAX)] = ()


class Branches(Struct, frozen=True, array_like=True, tag=4):
    """The first level of the sender's tree: `DIGEST_FANOUT` digests."""

    digests: Digests


class Branch(Struct, frozen=True, array_like=True):
    """The `DIGEST_FANOUT` digests below one branch; none of them when it is empty."""

    branch: Annotated[int, Meta(ge=0, lt=DIGEST_FANOUT)]
    digests: Digests


class Leaves(Struct, frozen=True, array_like=True, tag=5):
    """The second level of the sender's tree, where it differs."""

    branches: Annotated[tuple[Branch, ...], Meta(max_length=DIGEST_FANOUT)]


class Stamps(Struct, frozen=True, array_like=True, tag=6):
    """All (key, stamp) that the sender holds in the leaves it names (branch * DIGEST_FANOUT + leaf); or an offer."""

    leaves: Annotated[tuple[Annotated[int, Meta(ge=0, lt=LEAVES)], ...], Meta(max_length=LEAVES)]
    entries: tuple[tuple[str, Uint63], ...]


class Want(Struct, frozen=True, array_like=True, tag=7):
    """Send me what you hold under these keys."""

    keys: Annotated[tuple[str, ...], Meta(max_length=PARTS_MAX)]


class Ids(Struct, frozen=True, array_like=True, tag=8):
    """The ids of the recent messages that the sender holds in the slices it names; or an offer."""

    seconds: Annotated[tuple[int, ...], Meta(max_length=2 * SLICES_MAX)]
    ids: MessageIds


class Pull(Struct, frozen=True, array_like=True, tag=9):
    """Send me the messages of these ids."""

    ids: MessageIds


EpidemicMessage = News | Packed | Digest | Branches | Leaves | Stamps | Want | Ids | Pull
MESSAGES: tuple[type[EpidemicMessage], ...] = (News, Packed, Digest, Branches, Leaves, Stamps, Want, Ids, Pull)
