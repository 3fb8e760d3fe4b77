"""Carries frames between nodes: length-prefixed in TCP streams, one to a UDP datagram, both on one port per plane."""

__version__ = "0.1.0"
