"""The hub router's messages: none. All it needs is in the view."""

from msgspec import Struct

MESSAGES: tuple[type[Struct], ...] = ()
