"""What errors of the network say: of the peer, and to a person."""

import errno
import os
import socket
import ssl

from mpreg_core.contracts.failure_detector import Evidence

UNREACHABLE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT))


def evidence_of(error: Exception) -> Evidence | None:
    """What an error says of the peer; None if it is this host's own trouble."""
    if isinstance(error, TimeoutError):  # ours has no number
        return "unreachable"
    if isinstance(error, ssl.SSLError):  # numbers of its own
        return None
    return evidence_of_errno(error.errno) if isinstance(error, OSError) else None


def evidence_of_errno(number: int | None) -> Evidence | None:
    """What an error number says of the peer; None if it is this host's own trouble."""
    if number == errno.ECONNREFUSED:
        return "refused"
    if number in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return "reset"
    return "unreachable" if number in UNREACHABLE else None


def reason_of(error: Exception) -> str:
    """A few words for a person on why an attempt failed."""
    if isinstance(error, socket.gaierror):
        return f"the host name does not resolve ({error.strerror})"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection ({(error.reason or str(error)).lower().replace('_', ' ')})"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or "it was closed"
