"""What the parts of the transport have in common: the sink they report to, and the counters."""

from collections import defaultdict
from collections.abc import Sequence

import anyio

from mpreg_core import Endpoint, Evidence, FrameSink, Identity, Lane, Plane
from mpreg_transport_tcp.machine import EvidenceLimiter


class Reports:
    """Hands frames, drops and evidence to the sink and counts them.

    `counts` also has the gauge `partial_bytes`, the frames that are half received, over all connections.
    """

    def __init__(self, sink: FrameSink, counts: defaultdict[str, int]) -> None:
        self.counts = counts
        self._sink = sink
        self._limiter = EvidenceLimiter()

    def frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
        """Frames came in."""
        self.counts["frames_in"] += len(frames)
        self._sink.on_frames(plane, source, frames, lane)

    def identified(self, source: Endpoint, identity: Identity | None) -> None:
        """An inbound connection has shown who it is from."""
        self._sink.on_identified(source, identity)

    def closed(self, source: Endpoint) -> None:
        """An inbound connection is gone."""
        self._sink.on_closed(source)

    def dropped(self, plane: Plane, reason: str, source: Endpoint, count: int = 1) -> None:
        """Something that came in was dropped."""
        self.counts[f"dropped_{reason}"] += count
        self._sink.on_dropped(plane, reason, source, count)

    def evidence(self, peer: Endpoint, evidence: Evidence | None) -> None:
        """The network said something of a peer; None, for an error that tells nothing of the peer, is ignored."""
        if evidence is not None and self._limiter.passes(peer, evidence, anyio.current_time()):
            self.counts[f"evidence_{evidence}"] += 1
            self._sink.on_evidence(peer, evidence)
