"""The transport: frames between endpoints. The one contract that is async, since it owns sockets.

It knows endpoints and bytes, nothing of nodes, pools or messages. It runs on any anyio backend.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mpreg_core.contracts.access import Identity
from mpreg_core.contracts.failure_detector import Evidence
from mpreg_core.ids import Lane, Plane

if TYPE_CHECKING:
    from ssl import SSLContext

    from anyio.abc import TaskStatus


class Endpoint(NamedTuple):
    """A host name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class FrameSink(Protocol):
    """Where a transport reports to. All calls are sync, quick and never raise."""

    def on_frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
        """Frames came in on a plane's port, at most `limits.FRAME_BYTES_MAX` each.

        `source` is the remote end as the socket names it; sending to it reaches an inbound connection while it lives. A
        datagram's may be forged, so requests and clients are not heard on that lane.
        """
        ...

    def on_identified(self, source: Endpoint, identity: Identity | None) -> None:
        """A connection that a peer opened to the routing plane of a secured transport showed a certificate, or none.

        It comes before the connection's first frames.
        """
        ...

    def on_evidence(self, peer: Endpoint, evidence: Evidence) -> None:
        """The network said that a peer's port refuses, reset or is unreachable: once a second of each kind at most."""
        ...

    def on_closed(self, source: Endpoint) -> None:
        """A connection that a peer had opened is gone; `source` is how its frames named it."""
        ...

    def on_dropped(self, plane: Plane, reason: str, source: Endpoint, count: int) -> None:
        """Incoming frames were dropped: `oversized`, `truncated`, `too_many_connections`, `bad_length` and the like."""
        ...


class Transport(Protocol):
    """Serve, send, close."""

    async def serve(
        self,
        listen: Mapping[Plane, Endpoint],
        sink: FrameSink,
        *,
        task_status: "TaskStatus[Mapping[Plane, Endpoint]]",
    ) -> None:
        """Listen on every plane's endpoint until cancelled or closed; stream and datagram share a port number.

        `task_status.started` gets the endpoints as bound (port 0 takes a free one). Raises `TransportError` naming the
        plane and endpoint when one cannot be bound; what was bound before is closed again.
        """
        ...

    def cast(self, to: Endpoint, plane: Plane, frame: bytes) -> None:
        """Send one frame as a datagram, best effort: never waits, never raises; what cannot go is dropped, counted."""
        ...

    async def send(self, to: Endpoint, plane: Plane, frames: Sequence[bytes]) -> None:
        """Write a batch of frames to a peer in one go, over the connection there is or a new one.

        Waits while the peer is slow (the caller bounds and drops). One call at a time for an endpoint. Raises
        `TransportError` when the peer cannot be reached, at once while it backs off from a dead one, and
        `PayloadTooLargeError` for a frame over `limits.FRAME_BYTES_MAX`.
        """
        ...

    def send_now(self, to: Endpoint, plane: Plane, frames: Sequence[bytes]) -> bool:
        """Write a batch if that needs no waiting: neither a new connection nor room for its beginning. Never raises.

        False: nothing of it was taken, it is for `send`. A transport may leave this method out.
        """
        ...

    async def close(self) -> None:
        """Stop accepting, flush for a moment, close every connection. Idempotent."""
        ...

    def stats(self) -> Mapping[str, int]:
        """Counters: connections open, frames and bytes in and out, drops by reason."""
        ...


class Tls(Protocol):
    """A node's certificates, for transports that encrypt their streams: TLS 1.3, and both ends show one."""

    def incoming(self, plane: Plane) -> "SSLContext":
        """For connections that peers open. One must show a certificate, but on the routing plane a client may not."""
        ...

    def outgoing(self) -> "SSLContext":
        """For connections to other nodes."""
        ...

    def identify(self, certificate: Mapping[str, object] | None) -> Identity | None:
        """Whose a checked certificate is, as `ssl.SSLSocket.getpeercert` gives it; None for none.

        Raises `ForbiddenError` for one that is of another federation, or names several.
        """
        ...
