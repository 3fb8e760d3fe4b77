"""The planted strategies are a module, so that a run in another process finds them by name as well."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def ports_that_were_kept():
    """Close what the transport that clings to its ports left open."""
    from planted_transports import KEPT

    yield
    for kept in KEPT:
        kept.close()
