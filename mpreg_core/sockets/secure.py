"""TLS (RFC 8446) on a connected socket: its handshake, and reading and ending it without ever waiting."""

import socket
import ssl
from contextlib import suppress

import anyio

RECORD_BYTES_MAX = 16 * 1024  # of plain text: RFC 8446, 5.1
HEAR_OUT_S = 0.5
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


async def secure(connected: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> ssl.SSLSocket:
    """The same connection after a handshake. Takes the socket over. Raises `OSError`."""
    secured = context.wrap_socket(connected, server_side=server_side, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                await anyio.wait_readable(secured)
            except ssl.SSLWantWriteError:
                await anyio.wait_writable(secured)
    except BaseException as error:
        if server_side and isinstance(error, ssl.SSLError):
            await _hear_out(secured)
        secured.close()
        raise


async def _hear_out(refused: socket.socket) -> None:
    """Throw away what comes, for a moment: a connection closed on unread bytes is reset, and the alert goes unread."""
    end_writing(refused)
    with anyio.move_on_after(HEAR_OUT_S), suppress(OSError):
        while True:
            await anyio.wait_readable(refused)
            if not socket.socket.recv(refused, RECORD_BYTES_MAX):
                return


def receive(connected: socket.socket, size: int) -> bytes:
    """What came, about `size` bytes at most; empty at the end. Raises one of `WOULD_BLOCK` when nothing did.

    A record is taken whole: what of it stayed in the library would wake nobody.
    """
    if not isinstance(connected, ssl.SSLSocket):
        return connected.recv(size)
    chunks: list[bytes] = []
    for _ in range(max(1, size // RECORD_BYTES_MAX)):
        try:
            chunk = connected.recv(RECORD_BYTES_MAX)
        except WOULD_BLOCK:
            if not chunks:
                raise
            break
        if not chunk:
            break  # the end of the connection below will wake the reader again
        chunks.append(chunk)
    return b"".join(chunks)


def end_writing(connected: socket.socket) -> None:
    """Say that nothing more will be written."""
    with suppress(OSError, ValueError):
        if isinstance(connected, ssl.SSLSocket):
            connected.unwrap()
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_WR)  # a TLS socket's own would forget its keys
