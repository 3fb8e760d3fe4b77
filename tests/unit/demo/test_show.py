"""The demo tells the truth: what a step could not show ends the tour, by name."""

import io

import anyio
import pytest
from rich.console import Console

from mpreg_core.demo import tour
from mpreg_core.demo.fleet import Fleet
from mpreg_core.demo.shape import shape_of
from mpreg_core.demo.show import Wanted, show
from mpreg_core.plugin.discovery import load_plugins


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(tour, "PAUSE_S", 0.0)


def played(shape, terminal=False):
    """The step that failed, if any, and what was printed."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, height=24, color_system=None)
    wanted = Wanted(shape_of(shape), load_plugins(), duration_s=0.0)
    return anyio.run(show, wanted, console), out.getvalue()


def test_a_hub_that_does_not_die_fails_the_step_of_its_loss_and_ends_the_tour(monkeypatch):
    async def lives_on(self, node):
        """Kill nobody."""

    def hasty(self, fleet, begun_s, init=tour.Tour.__init__):
        init(self, fleet, begun_s)
        self.steps[6].within_s = 0.3

    monkeypatch.setattr(Fleet, "kill", lives_on)
    monkeypatch.setattr(tour.Tour, "__init__", hasty)
    failed, printed = played("1x1x2")
    assert (failed.name, failed.seen) == ("hub loss", "not within 0.3 s")
    lines = printed.splitlines()
    assert "✗ hub loss  not within 0.3 s" in lines
    assert "· hub back  it returns, they come home" in lines, "later steps are not played"


def test_a_step_that_the_shape_cannot_show_is_skipped_and_says_why():
    failed, printed = played("1x1x1")
    assert failed is None
    assert "- hub loss  skipped: needs two local hubs in a region, like 1x1x2" in printed.splitlines()


def test_on_a_terminal_the_picture_fits_a_screen_of_80_by_24():
    failed, printed = played("1x1x1", terminal=True)
    assert failed is None
    frames = printed.split("mpreg demo ")[1:]
    assert len(frames) > 1, "it redraws itself"
    assert max(frame.partition("ends after")[0].count("\n") + 1 for frame in frames) <= 24
