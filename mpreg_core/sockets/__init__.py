"""Non-blocking sockets on any backend, for transports and the client: connecting, waiting, TLS, what errors say."""

from mpreg_core.sockets.addresses import Address, SockAddr, digits, endpoint_of, resolve
from mpreg_core.sockets.dialing import dial
from mpreg_core.sockets.readiness import Readiness, end_of_turn, running_asyncio_loop, send_all
from mpreg_core.sockets.secure import WOULD_BLOCK, end_writing, receive, secure
from mpreg_core.sockets.trouble import evidence_of, evidence_of_errno, reason_of

__all__ = [
    "WOULD_BLOCK",
    "Address",
    "Readiness",
    "SockAddr",
    "dial",
    "digits",
    "end_of_turn",
    "end_writing",
    "endpoint_of",
    "evidence_of",
    "evidence_of_errno",
    "reason_of",
    "receive",
    "resolve",
    "running_asyncio_loop",
    "secure",
    "send_all",
]
