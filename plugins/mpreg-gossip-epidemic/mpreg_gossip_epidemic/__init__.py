"""Spreads items by epidemic gossip: pushed on arrival, repaired by anti-entropy. Four ways to choose whom to tell."""

__version__ = "0.1.0"
