"""Keeps secrets out of all that is printed, served or logged."""

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import fields

from mpreg_core.config.decode import HIDDEN, is_secret, without_user

_SECRET_KEY = re.compile(
    r"(?:pass(?:word|wd|phrase)|secret|credential|private)(?!.*_file$)|(?:^|_)(?:tokens?|keys?|pass)$", re.IGNORECASE
)


def redact(value: object, secret: bool = False) -> object:
    """Plain data of a value, its secrets replaced by `HIDDEN`; an empty secret stays empty.

    Secret is what a Struct marks so (`decode.SECRET`) and, in free-form mappings, what stands under a telling key such
    as `password` or `auth_token`; a user in a URL goes as well.
    """
    if isinstance(value, Struct):
        return {item.name: redact(getattr(value, item.name), is_secret(item.type)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: redact(item, secret or is_secret_key(str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return HIDDEN if secret and value else [redact(item) for item in value]
    if secret:
        return value if value is None or value == "" else HIDDEN
    return without_user(value) if isinstance(value, str) else value


def is_secret_key(key: str) -> bool:
    """True if what stands under this key of a free-form mapping should not be shown."""
    return _SECRET_KEY.search(key) is not None
