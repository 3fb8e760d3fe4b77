"""Opening a TCP connection to an endpoint: its addresses, tried one after another with a head start.

Happy Eyeballs (RFC 8305): the next address is tried when the one before failed or did not connect in 250 ms; whichever
connects first is used.
"""

import errno
import os
import socket
from collections.abc import Sequence

import anyio

from mpreg_core.contracts.transport import Endpoint
from mpreg_core.sockets.addresses import Address, resolve
from mpreg_core.sockets.trouble import evidence_of

HEAD_START_S = 0.25  # RFC 8305, section 8, "Connection Attempt Delay"
ADDRESSES_MAX = 8  # of a name; the rest are not tried


async def dial(to: Endpoint) -> socket.socket:
    """A connected non-blocking socket. Raises `OSError` when no address connects, `ValueError` for a bad endpoint."""
    if not 0 < to.port < 65_536:
        raise ValueError(f"expected a port of 1 to 65535, got {to.port}")
    addresses = (await resolve(to, socket.AF_UNSPEC, socket.SOCK_STREAM))[:ADDRESSES_MAX]
    return await connect(addresses[0]) if len(addresses) == 1 else await race(alternate(addresses))


def alternate(addresses: Sequence[Address]) -> list[Address]:
    """The families by turns, so that a broken one costs one head start (RFC 8305, section 4)."""
    first = [entry for entry in addresses if entry.family == addresses[0].family]
    second = [entry for entry in addresses if entry.family != addresses[0].family]
    turns = [entry for pair in zip(first, second, strict=False) for entry in pair]
    return turns + first[len(second) :] + second[len(first) :]


async def race(addresses: Sequence[Address]) -> socket.socket:
    """The first connection of several attempts. Raises the `OSError` that says most when all fail."""
    connected: list[socket.socket] = []
    errors: list[OSError] = []

    async def attempt(address: Address, failed: anyio.Event) -> None:
        try:
            made = await connect(address)
        except OSError as error:
            errors.append(error)
            failed.set()
            return
        if connected:
            made.close()
        else:
            connected.append(made)
            group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for address in addresses:
                failed = anyio.Event()
                group.start_soon(attempt, address, failed)
                with anyio.move_on_after(HEAD_START_S):
                    await failed.wait()
    except BaseException:  # cancelled, perhaps just when one had connected
        for made in connected:
            made.close()
        raise
    if connected:
        return connected[0]
    raise min(errors, key=lambda error: ("refused", "reset", "unreachable", None).index(evidence_of(error)))


async def connect(address: Address) -> socket.socket:
    """A connection to one address. Raises `OSError`."""
    made = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        number = made.connect_ex(address.address)
        if number in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            await anyio.wait_writable(made)
            number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not number and made.getsockname() == made.getpeername():
            # A port of this host where nobody listens, and which the system happened to pick for this side as well:
            # such a socket is joined to itself (RFC 9293, 3.5, simultaneous open).
            number = errno.ECONNREFUSED
        if number:
            raise OSError(number, os.strerror(number))
    except BaseException:
        made.close()
        raise
    return made
