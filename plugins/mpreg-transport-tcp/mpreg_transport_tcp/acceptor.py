"""Taking in the connections that come to a listening socket."""

import socket
from collections import defaultdict
from collections.abc import Callable

import anyio

from mpreg_core.sockets import Readiness, SockAddr

ACCEPTS_PER_TURN_MAX = 64  # then the connections that there are have their turn
RETRY_S = 0.1  # after an accept that failed, mostly for want of file descriptors


class Acceptor:
    """Calls `enter` with every connection, non-blocking, and its remote address; that takes it over."""

    def __init__(
        self, listener: socket.socket, enter: Callable[[socket.socket, SockAddr], None], counts: defaultdict[str, int]
    ) -> None:
        self._listener = listener
        self._enter = enter
        self._counts = counts
        self._readiness = Readiness(listener, self._accept)
        self._stopped = False

    async def run(self) -> None:
        """Until stopped."""
        while True:
            await self._readiness.run()
            if self._stopped:
                return
            await anyio.sleep(RETRY_S)
            self._readiness = Readiness(self._listener, self._accept)

    def stop(self) -> None:
        """Accept no more and close the socket. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._readiness.stop()
            self._listener.close()

    def _accept(self) -> bool:
        """Take in who waits, to a bound; True if that failed and had better rest."""
        try:
            for _ in range(ACCEPTS_PER_TURN_MAX):
                accepted, address = self._listener.accept()
                accepted.setblocking(False)
                self._enter(accepted, address)
        except BlockingIOError:
            return False
        except OSError:
            self._counts["accepts_failed"] += 1
            return True
        return False
