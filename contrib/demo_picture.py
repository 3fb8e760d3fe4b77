"""Draws docs/demo.svg from a real run: what the demo shows just after it lost a hub."""

from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import anyio
from rich.console import Console

from mpreg_core.demo.fleet import Fleet
from mpreg_core.demo.shape import shape_of
from mpreg_core.demo.tour import Step, Tour
from mpreg_core.demo.view import View
from mpreg_core.plugin.discovery import load_plugins

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"


async def main() -> None:
    """Play the tour up to the loss of the hub and draw what a terminal of 80 columns shows then."""
    console = Console(record=True, width=80, file=StringIO(), force_terminal=True, color_system="truecolor")
    with TemporaryDirectory() as data:
        async with anyio.create_task_group() as tasks:
            fleet = Fleet(shape_of("1x2x2"), load_plugins(), (), Path(data), 8080, tasks)
            tour = Tour(fleet, perf_counter())
            view = View(fleet, tour, "Ctrl-C ends it")

            def on_change(step: Step) -> None:
                if step.name == "hub back" and step.state == "runs":
                    console.print(view)

            await fleet.start_all()
            await tour.play(on_change)
            await fleet.stop_all()
            tasks.cancel_scope.cancel()
    PICTURE.write_text(console.export_svg(title="mpreg demo"))


anyio.run(main)
