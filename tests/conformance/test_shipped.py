"""Every strategy that is shipped passes the kit."""

import pytest

from mpreg_core.plugin.discovery import load_plugins

SHIPPED = sorted(load_plugins().strategies.values(), key=lambda strategy: (strategy.spec.family, strategy.spec.name))


@pytest.mark.parametrize("strategy", SHIPPED, ids=[f"{each.spec.family}-{each.spec.name}" for each in SHIPPED])
def test_it_conforms(mpreg_conformance, strategy):
    print(mpreg_conformance(strategy.spec))
