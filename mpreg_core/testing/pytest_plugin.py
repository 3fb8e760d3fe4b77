"""The kit as a pytest plugin: `def test_it_conforms(mpreg_conformance): mpreg_conformance(SPEC)`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mpreg_core.contracts.strategy import AnySpec
    from mpreg_core.testing.report import Report


@pytest.fixture(scope="session")
def mpreg_conformance() -> "Callable[..., Report]":
    """Plays the kit on a spec and fails the test with the report card; takes what `check_strategy` takes."""

    def conforms(spec: "AnySpec", options: Any = None, **more: Any) -> "Report":
        from mpreg_core.testing import check_strategy

        report = check_strategy(spec, options, **more)
        if not report.passed:
            pytest.fail(str(report), pytrace=False)
        return report

    return conforms
