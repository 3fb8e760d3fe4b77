"""Gossip along a ring: a worked example of a plugin from outside mpreg's own tree."""

__version__ = "0.1.0"
