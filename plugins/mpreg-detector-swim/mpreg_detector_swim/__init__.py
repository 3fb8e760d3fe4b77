"""Detects failed nodes as SWIM does: direct and indirect probes, suspicion, refutation."""

__version__ = "0.1.0"
