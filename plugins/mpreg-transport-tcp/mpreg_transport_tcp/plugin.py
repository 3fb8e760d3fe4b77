"""What this distribution registers: the transport `tcp`."""

from collections.abc import Sequence

from mpreg_core import TransportSpec, hookimpl
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.transport import TcpTransport

SPEC = TransportSpec(
    name="tcp",
    summary="Frames over TCP streams and UDP datagrams on one port per plane.",
    options=TcpOptions,
    create=TcpTransport,
    create_secure=TcpTransport,
)


@hookimpl
def mpreg_transports() -> Sequence[TransportSpec[TcpOptions]]:
    """The transport `tcp`."""
    return (SPEC,)
