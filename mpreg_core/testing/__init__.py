"""The conformance kit: whether a strategy keeps the contract, found out without a cluster.

`check_strategy(SPEC)` gives a report card. pytest is needed only by `pytest_plugin`. Names load on first use, as pytest
imports this package in every run where mpreg is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpreg_core.testing.installed import installed_parts as installed_parts
    from mpreg_core.testing.kit import CHECKS as CHECKS
    from mpreg_core.testing.kit import Check as Check
    from mpreg_core.testing.kit import check_strategy as check_strategy
    from mpreg_core.testing.report import Finding as Finding
    from mpreg_core.testing.report import NotConformingError as NotConformingError
    from mpreg_core.testing.report import Report as Report
    from mpreg_core.testing.subject import Pool as Pool
    from mpreg_core.testing.subject import Subject as Subject

_HOME = {
    "installed_parts": "installed",
    "CHECKS": "kit",
    "Check": "kit",
    "check_strategy": "kit",
    "Finding": "report",
    "NotConformingError": "report",
    "Report": "report",
    "Pool": "subject",
    "Subject": "subject",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
