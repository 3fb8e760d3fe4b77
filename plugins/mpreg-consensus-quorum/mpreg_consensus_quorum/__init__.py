"""Decides proposals by a quorum of the pool's votes."""

__version__ = "0.1.0"
