"""The options of `plumtree`. Times are seconds, sizes bytes."""

from typing import Annotated

from msgspec import Meta, Struct


class PlumtreeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many links a node keeps, how long it waits for the tree, how often it compares.

    - `links`: members that this node is linked with, both ways. A tree over the links carries each item to each member
      about once; the other links only say what they have. More links repair faster and announce more. Up to twice as
      many are accepted, so that nobody is left alone.
    - `graft_timeout`: how long an announced item is waited for before it is fetched over the link that announced it.
      Above the slowest round trip in the pool, or the tree is mended without need.
    - `interval`: between two comparisons with a random member while there is something new. A pool at rest slows down
      to an eighth. What the tree lost altogether is found by it.
    - `max_message_size`: of one message that carries several items; a larger item goes alone.
    """

    links: Annotated[int, Meta(ge=2, le=16)] = 4
    graft_timeout: Annotated[float, Meta(ge=0.01, le=30)] = 0.5
    interval: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    max_message_size: Annotated[int, Meta(ge=2048, le=512 * 1024)] = 64 * 1024
