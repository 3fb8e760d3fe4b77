"""Replicates a log of decisions below an elected leader: Raft."""

__version__ = "0.1.0"
