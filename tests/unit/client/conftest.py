"""Every test runs on each backend."""

from certificates import files, others
from real_nodes import anyio_backend, node, plugins

__all__ = ["anyio_backend", "files", "node", "others", "plugins"]
