"""mpreg plugin: a node's HTTP API, its health endpoints and its metrics page."""

__version__ = "0.1.0"
