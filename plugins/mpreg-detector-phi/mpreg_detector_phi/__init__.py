"""Detects failed nodes by phi accrual: a suspicion level from the history of heartbeats."""

__version__ = "0.1.0"
