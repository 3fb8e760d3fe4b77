"""Every strategy that is shipped passes the kit."""

import os

import pytest

from mpreg_core.plugin.discovery import load_plugins

ALIKE = () if os.environ.get("MPREG_DEEP") else ("proximity", "random", "topology_aware")
"""They differ from hybrid in whom they choose, and in nothing else: once in a while is enough."""

SHIPPED = sorted(
    (strategy for strategy in load_plugins().strategies.values() if strategy.spec.name not in ALIKE),
    key=lambda strategy: (strategy.spec.family, strategy.spec.name),
)


@pytest.mark.parametrize("strategy", SHIPPED, ids=[f"{each.spec.family}-{each.spec.name}" for each in SHIPPED])
def test_it_conforms(mpreg_conformance, strategy):
    print(mpreg_conformance(strategy.spec))
