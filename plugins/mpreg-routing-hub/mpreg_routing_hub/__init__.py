"""Routes requests along the tree of hubs."""

__version__ = "0.1.0"
