"""Running the demo: start the fleet, play the tour, show both, until the time is over or somebody ends it."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import anyio
from rich.console import Console
from rich.live import Live

from mpreg_core.demo.fleet import Fleet
from mpreg_core.demo.shape import Shape
from mpreg_core.demo.tour import Step, Tour
from mpreg_core.demo.view import View, steps_table
from mpreg_core.plugin.registry import Plugins

FRAMES_PER_S = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run: for `duration_s` seconds, but never shorter than the tour; None = until somebody ends it."""

    shape: Shape
    plugins: Plugins
    specs: tuple[str, ...] = ()
    api_port: int = 0
    duration_s: float | None = None


async def show(wanted: Wanted, console: Console) -> Step | None:
    """Run it; gives the step that did not hold. Raises what starting a `Node` does."""
    begun_s = perf_counter()
    with TemporaryDirectory(prefix="mpreg-demo-") as data:
        async with anyio.create_task_group() as tasks:
            fleet = Fleet(wanted.shape, wanted.plugins, wanted.specs, Path(data), wanted.api_port, tasks)
            tour = Tour(fleet, begun_s)
            hint = "Ctrl-C ends it" if wanted.duration_s is None else f"ends after {wanted.duration_s:g} s"
            with Screen(View(fleet, tour, hint), console) as say:
                fleet.on_event = lambda line: say(f"{_at(begun_s)}    {line}")
                with anyio.CancelScope() as wanted_on:
                    tasks.start_soon(_until_signal, wanted_on)
                    await fleet.start_all()
                    await _play(tour, fleet, wanted, begun_s, say)
                with anyio.CancelScope(shield=True):
                    await fleet.stop_all()
            tasks.cancel_scope.cancel()
    _summary(tour, console)
    return tour.failed


async def _play(tour: Tour, fleet: Fleet, wanted: Wanted, begun_s: float, say: Callable[[str], None]) -> None:
    def on_change(step: Step) -> None:
        if step.state != "runs":
            say(f"{_at(begun_s)}  {step.name}: {step.seen}")

    say(f"{_at(begun_s)}  {len(fleet.running)} nodes run; API http://{fleet.served.get('http')}")
    await tour.play(on_change)
    if tour.failed is not None:
        return
    if wanted.duration_s is not None:
        await anyio.sleep(max(0.0, wanted.duration_s - (perf_counter() - begun_s)))
        return
    say(f"{_at(begun_s)}  the tour is over; the federation runs on until Ctrl-C")
    await anyio.sleep_forever()


def _at(begun_s: float) -> str:
    return f"{perf_counter() - begun_s:6.2f} s"


async def _until_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


class Screen:
    """On a terminal a picture that redraws itself; elsewhere the lines that are said."""

    def __init__(self, view: View, console: Console) -> None:
        self._console = console
        live = Live(view, console=console, refresh_per_second=FRAMES_PER_S, transient=True)
        self._context: AbstractContextManager[object] = live if console.is_terminal else nullcontext()

    def __enter__(self) -> Callable[[str], None]:
        self._context.__enter__()
        return self._ignore if self._console.is_terminal else self._print

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)

    def _ignore(self, line: str) -> None:
        """The picture shows it already."""

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def _summary(tour: Tour, console: Console) -> None:
    with console.capture() as drawn:
        console.print(steps_table(tour.steps, fold=True))
    console.file.write("\n" + "".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))
