"""Reads `host:port` texts."""

import ipaddress

from mpreg_core.config.decode import shown
from mpreg_core.contracts.transport import Endpoint


def parse_endpoint(text: str, default_port: int) -> Endpoint:
    """`host`, `host:port`, `address`, `[v6]:port` or `[v6]`. Raises `ValueError` with what was expected."""
    error = ValueError(f"expected host:port or [IPv6 address]:port, got {shown(text, False)}")
    host, colon, digits = text.rpartition(":")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if is_ipv6(bare):
        host, colon = bare, ""
    elif not colon:
        host = text
    elif host.startswith("[") and host.endswith("]") and is_ipv6(host[1:-1]):
        host = host[1:-1]
    elif ":" in host:
        raise error
    if not host or any(letter.isspace() or letter in "/@[]" for letter in host):
        raise error
    if not colon:
        return Endpoint(host, default_port)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65_535):
        raise ValueError(f"expected a port from 1 to 65535 after the last colon, got {shown(text, False)}")
    return Endpoint(host, int(digits))


def is_ipv6(text: str) -> bool:
    """True for an IPv6 address."""
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
