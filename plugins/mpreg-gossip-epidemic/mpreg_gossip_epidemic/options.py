"""The options of the epidemic strategies: the guide's keys. Times are seconds, sizes bytes."""

from typing import Annotated

from msgspec import Meta, Struct


class EpidemicOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many members to tell, how often to compare, how much to put into one message.

    - `interval`: between two anti-entropy rounds of a node while there is something new. What a push missed is found
      within one or two of them. A pool at rest slows down to an eighth. News does not wait for it.
    - `fanout`: members that a node tells of an item when it first hears of it. Two are its neighbours on a ring, so
      that without loss nobody is missed whatever the number; each further one shortens the way to the last member
      and costs a copy of each item for each node. With 1 there is no way around a dead neighbour but the repair.
    - `max_message_size`: of one message that carries several items. A larger item, up to `limits.ITEM_BYTES_MAX`,
      goes alone.
    - `compression_enabled`: compress messages of several KB that shrink by it. Off saves CPU time.
    - `batch_size`: items that come within a few milliseconds are collected until there are so many, then sent
      together. 1 sends each at once: for a pool with few items.
    """

    interval: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    fanout: Annotated[int, Meta(ge=1, le=32)] = 3
    max_message_size: Annotated[int, Meta(ge=2048, le=512 * 1024)] = 64 * 1024
    compression_enabled: bool = True
    batch_size: Annotated[int, Meta(ge=1, le=1000)] = 10
