"""Figures: measured several times, printed against their goals. Only a gross miss fails: the machine may be busy."""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpreg_core.assembly import parts_of
from mpreg_core.config.load import read_config
from mpreg_core.config.resolve import resolve
from mpreg_core.node.parts import PartsOf
from mpreg_core.plugin.discovery import load_plugins

GROSS = 5.0
"""A median this many times over its goal fails."""


@dataclass(frozen=True)
class Figure:
    """What was measured, several times, and the number it should stay under."""

    name: str
    unit: str
    goal: float
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        share = self.median / self.goal
        verdict = f"met, {share:.0%} of it" if share < 1 else f"MISSED by {self.median - self.goal:.3g} {self.unit}"
        spread = f"{min(self.values):.3g} to {max(self.values):.3g} in {len(self.values)} runs"
        return f"{self.name}: {self.median:.3g} {self.unit} ({spread}); goal under {self.goal:g} {self.unit}: {verdict}"


FIGURES: list[Figure] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """All figures once more at the end, where they can be copied."""
    if FIGURES:
        load = " ".join(f"{value:.2f}" for value in os.getloadavg())
        terminalreporter.section(f"figures (load {load}, {os.cpu_count()} cores)")
        for figure in FIGURES:
            terminalreporter.line(str(figure))


@pytest.fixture
def figure() -> Callable[[str, str, float, Sequence[float]], None]:
    """`figure(name, unit, goal, values)` tells of one measurement."""

    def tell(name: str, unit: str, goal: float, values: Sequence[float]) -> None:
        found = Figure(name, unit, goal, tuple(values))
        FIGURES.append(found)
        print(f"\n{found}")
        assert found.median < GROSS * goal, f"far off: {found}"

    return tell


@pytest.fixture(scope="session")
def default_parts() -> PartsOf:
    """The default strategies with their default options, as a node with an empty configuration runs them."""
    config, problems = read_config(data={}, env={})
    assert not problems
    return parts_of(resolve(config, load_plugins()))


@pytest.fixture
def scripts() -> Path:
    """The folder of this file: measurements that need a process of their own are scripts in it."""
    return Path(__file__).parent
