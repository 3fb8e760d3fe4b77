"""Every test runs on each backend."""

from real_nodes import anyio_backend, node, plugins

__all__ = ["anyio_backend", "node", "plugins"]
