"""Plumtree: broadcast trees over a random overlay, for large pools."""

__version__ = "0.1.0"
