"""The bounds that both HTTP servers keep."""

CONNECTIONS_MAX = 1024
HEADER_BYTES_MAX = 16 * 1024
KEEP_ALIVE_S = 30

STOP_S = 0.8
"""When a server that stops cuts off whoever still hangs."""
