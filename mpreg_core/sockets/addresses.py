"""Endpoints and the addresses that the system has for them."""

import socket
from typing import NamedTuple, TypeAlias, cast

import anyio

from mpreg_core.contracts.transport import Endpoint

SockAddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


def endpoint_of(address: SockAddr) -> Endpoint:
    """The endpoint of a socket address; an IPv4 peer of a dual-stack socket is named by its IPv4 address."""
    return Endpoint(address[0].removeprefix("::ffff:") if "." in address[0] else address[0], address[1])


class Address(NamedTuple):
    """A socket address and its family."""

    family: int
    address: SockAddr


def digits(to: Endpoint, family: int, kind: int) -> Address | None:
    """The address of an endpoint whose host is an address already; None for a name. Asks no server.

    For an IPv6 socket an IPv4 address is mapped to the form that a dual-stack one takes.
    """
    flags = socket.AI_NUMERICHOST | (socket.AI_V4MAPPED if family == socket.AF_INET6 else 0)
    try:
        found = socket.getaddrinfo(to.host, to.port, family, kind, flags=flags)
    except (OSError, ValueError):
        return None
    return Address(found[0][0], cast(SockAddr, found[0][4]))


async def resolve(to: Endpoint, family: int, kind: int) -> list[Address]:
    """The addresses of an endpoint, at least one. Raises `OSError` or `ValueError` if there is none."""
    if address := digits(to, family, kind):
        return [address]
    flags = socket.AI_V4MAPPED if family == socket.AF_INET6 else 0
    found = await anyio.getaddrinfo(to.host, to.port, family=family, type=kind, flags=flags)
    return [Address(entry[0], cast(SockAddr, entry[4])) for entry in found]
