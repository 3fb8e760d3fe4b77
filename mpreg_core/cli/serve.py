"""`mpreg serve`: a service that a command of this machine answers."""

import os
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.exits import NO, UNREACHABLE, fail, say
from mpreg_core.cli.http import reaching
from mpreg_core.cli.options import API_URL, ApiOption, ServiceArgument, TokenOption, json_or_text
from mpreg_core.cli.text import clean

if TYPE_CHECKING:
    from ssl import SSLContext

    import anyio

    from mpreg_core.contracts.api import Json, Request

RUNNING_MAX = 16
"""Commands that run at once; further calls wait for one of them."""


def command(
    service: ServiceArgument,
    program: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND", help="Gets the payload as JSON on its standard input.")
    ],
    hub: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", show_default=False, help="A node's routing port. Default: the API's node."),
    ] = None,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    ca_file: Annotated[
        str, typer.Option(metavar="FILE", help="The authority of hubs that encrypt.", show_default=False)
    ] = "",
    cert_file: Annotated[
        str, typer.Option(metavar="FILE", help="A client's certificate, instead of a token.", show_default=False)
    ] = "",
    key_file: Annotated[str, typer.Option(metavar="FILE", help="The certificate's key.", show_default=False)] = "",
) -> None:
    """Serve a service until Ctrl-C: each call runs the command, whose standard output is the answer.

    JSON, else a text. MPREG_SERVICE, MPREG_CALLER and MPREG_REQUEST tell the command who asks. A command that does not
    end with 0 fails the call, with what it wrote to standard error.
    """
    import anyio

    if shutil.which(program[0]) is None:
        fail(f"there is no program {clean(program[0])} to run here")
    tls = _tls(ca_file, cert_file, key_file) if ca_file else None
    hubs = hub or [_routing_of(api, token)]
    try:
        anyio.run(partial(_serve, service, program, hubs, token, tls))
    except KeyboardInterrupt:
        say("stopped")


def _routing_of(api: str, token: str) -> str:
    with reaching(api, token) as node:
        routing: str = node.get("/api/status")["node"]["routing"]
    return routing


def _tls(ca_file: str, cert_file: str, key_file: str) -> "SSLContext":
    from mpreg_core.client import tls_context
    from mpreg_core.errors import ConfigError

    try:
        return tls_context(ca_file, cert_file, key_file)
    except ConfigError as error:
        fail(clean(str(error)))


async def _serve(service: str, program: list[str], hubs: list[str], token: str, tls: "SSLContext | None") -> None:
    import anyio

    from mpreg_core.client import Client
    from mpreg_core.errors import MpregError, UnavailableError

    places = anyio.CapacityLimiter(RUNNING_MAX)
    try:
        async with Client(*hubs, name=f"serve-{os.getpid()}", token=token, tls=tls) as client:
            await client.serve(service, partial(_run, program, places))
            say(f"serves {service} at {client.hub}; Ctrl-C ends it")
            await anyio.sleep_forever()
    except UnavailableError as error:
        fail(clean(str(error)), UNREACHABLE)
    except MpregError as error:
        fail(clean(str(error)), NO)


async def _run(program: list[str], places: "anyio.CapacityLimiter", request: "Request") -> "Json":
    import anyio
    import msgspec

    from mpreg_core.errors import HandlerError

    env = {"MPREG_SERVICE": request.service, "MPREG_CALLER": request.caller, "MPREG_REQUEST": request.id}
    async with places:
        try:
            done = await anyio.run_process(
                program,
                input=msgspec.json.encode(request.payload),
                check=False,
                stderr=subprocess.PIPE,
                env={**os.environ, **env},
            )
        except OSError as error:
            raise HandlerError(f"{program[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise HandlerError(f"{program[0]} ended with {done.returncode}{': ' + said[-1] if said else ''}")
    answer: Json = json_or_text(done.stdout.decode(errors="replace").rstrip("\n"))
    return answer
