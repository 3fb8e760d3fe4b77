"""`mpreg demo`: a whole federation with real sockets in this process, shown live, with a tour."""

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.exits import DONE, NO, REFUSED, USAGE, fail, say

if TYPE_CHECKING:
    from mpreg_core.demo.shape import Shape
    from mpreg_core.demo.tour import Step

API_PORT = 8080


def command(
    shape: Annotated[
        str, typer.Option(metavar="AxBxC", help="Global, regional and local hubs (per region).")
    ] = "1x2x2",
    duration: Annotated[
        float | None, typer.Option(metavar="S", min=0, max=86_400, help="End after so long, once the tour is over.")
    ] = None,
    api_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65_535, help=f"HTTP API of the first global hub. [default: {API_PORT}]"
        ),
    ] = None,
    plugins: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="As `mpreg run --plugins`.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser; there is no page yet.")] = False,
) -> None:
    """Run a federation on this machine, show it live and play a tour; 1 and the step's name if one does not hold."""
    from mpreg_core.demo.shape import shape_of
    from mpreg_core.errors import ConfigError, InvalidInputError, MpregError, PluginError

    try:
        wanted = shape_of(shape)
    except InvalidInputError as error:
        fail(str(error), USAGE)
    try:
        failed = _show(wanted, tuple(plugins or ()), _port(api_port), duration)
    except (ConfigError, PluginError) as error:
        fail(str(error), REFUSED)
    except MpregError as error:
        fail(str(error), NO)
    if failed is not None:
        fail(f"the step {failed.name!r} did not hold: {failed.seen}", NO)
    raise SystemExit(DONE)


def _show(shape: "Shape", specs: tuple[str, ...], api_port: int, duration_s: float | None) -> "Step | None":
    import anyio
    from rich.console import Console

    from mpreg_core.cli.run import has_uvloop
    from mpreg_core.demo.show import Wanted, show
    from mpreg_core.plugin.discovery import load_plugins

    wanted = Wanted(shape, load_plugins(), specs, api_port, duration_s)
    console = Console(highlight=False, markup=False, emoji=False)
    try:
        return anyio.run(show, wanted, console, backend_options={"use_uvloop": has_uvloop()})
    except BaseExceptionGroup as group:
        raise _only(group) from None


def _only(error: BaseException) -> BaseException:
    """The error that groups of one wrap."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _port(asked: int | None) -> int:
    """The port asked for; where none was, the usual one if it is free, else any."""
    if asked is not None:
        return asked
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", API_PORT))
        except OSError:
            say(f"mpreg: port {API_PORT} is in use: the HTTP API takes a free one")
            return 0
    return API_PORT
