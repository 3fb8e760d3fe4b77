"""What an operator may set. The keys are those of the configuration's `network` section that concern connections."""

from typing import Annotated

from msgspec import Meta, Struct


class TcpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the transport `tcp`. Times are seconds.

    - `tcp_nodelay`: send at once instead of waiting for the acknowledgement of earlier bytes (RFC 896, Nagle). The
      transport writes whole batches, so waiting only adds delay; turn it off for links that charge by the packet.
    - `tcp_keepalive`: probe an idle connection (RFC 9293, 3.8.4), so that a peer whose host vanished without a word is
      noticed after two and a half minutes.
    - `connection_pooling`: keep one connection per peer and plane. Off: every batch opens a connection and ends it,
      for networks whose middle boxes cut idle connections; peers that do not listen cannot be answered then.
    - `max_connections_per_node`: connections that a remote host may always have here, all planes together. It is a
      reserved share, not a ceiling: one host may run many nodes, so it may have more while less than half of the
      places are taken. From then on, a host that has its share is refused (`too_many_connections`).
    - `connection_timeout`: how long anything may hang: to be connected, to finish a frame once its first byte came (or
      to send a first frame at all; noticed within one and a half times this), to take in any byte that was sent to it.
    """

    tcp_nodelay: bool = True
    tcp_keepalive: bool = True
    connection_pooling: bool = True
    max_connections_per_node: Annotated[int, Meta(ge=1, le=65_535)] = 10
    connection_timeout: Annotated[float, Meta(gt=0, le=3600)] = 30.0
