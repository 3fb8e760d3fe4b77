"""The harness beside the tests can be imported; newcomers vote after a second, so that voters change within a run."""

import sys
from pathlib import Path

import pytest

from mpreg_consensus_raft import leading

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def newcomers_vote_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "STABLE_NS", 1_000_000_000)
