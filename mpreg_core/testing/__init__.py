"""The conformance kit: whether a strategy keeps the contract, found out without a cluster.

`check_strategy(SPEC)` gives a report card. pytest is needed only by `pytest_plugin`.
"""

from mpreg_core.testing.kit import CHECKS, Check, check_strategy
from mpreg_core.testing.report import Finding, NotConformingError, Report
from mpreg_core.testing.subject import Pool, Subject

__all__ = ["CHECKS", "Check", "Finding", "NotConformingError", "Pool", "Report", "Subject", "check_strategy"]
