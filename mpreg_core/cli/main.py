"""The command line's front door: which verb is where. A verb's module is imported when the verb is called, not before.

What help says of a verb is here, a line each.
"""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from mpreg_core.cli.lazy import LazyGroup, Verb

RUN, LOOK, STATE, SERVE, OPERATE = "Run", "Look", "State and decisions", "Services and messages", "Operate"

VERBS = (
    Verb("run", RUN, "Run a node until SIGTERM or SIGINT."),
    Verb("demo", RUN, "Run a whole federation on this machine and watch it."),
    Verb("simulate", RUN, "Try a fleet and faults in the simulator."),
    Verb("validate", RUN, "Check configuration files."),
    Verb("plugins", RUN, "Show what is installed; check or begin your own."),
    Verb("status", LOOK, "Show a node, its pools and their strategies."),
    Verb("health", LOOK, "Show a node's checks; 1 unless it can serve."),
    Verb("members", LOOK, "List the members of a node's pools."),
    Verb("topology", LOOK, "Draw the tree of hubs, members and clusters."),
    Verb("routes", LOOK, "Show the way a request would take, and why."),
    Verb("events", LOOK, "List what happened lately, or follow it."),
    Verb("state", STATE, "Read, write, list and watch replicated keys."),
    Verb("propose", STATE, "Propose a value and wait for the outcome."),
    Verb("proposals", STATE, "List open and recently ended proposals."),
    Verb("vote", STATE, "Vote on a proposal by hand."),
    Verb("clusters", SERVE, "Register, list and remove application clusters."),
    Verb("discover", SERVE, "List where a service is, best first."),
    Verb("request", SERVE, "Ask a service, wherever it is best served."),
    Verb("serve", SERVE, "Serve a service with a command of this machine."),
    Verb("publish", SERVE, "Publish a message."),
    Verb("subscribe", SERVE, "Print the messages whose topic matches."),
    Verb("drain", OPERATE, "Let a node take no new requests."),
    Verb("resume", OPERATE, "Undo a drain."),
    Verb("shutdown", OPERATE, "Drain a node, announce its departure, stop it."),
    Verb("token", OPERATE, "Issue tokens for who may call nodes."),
    Verb("tls", OPERATE, "Make the certificates of nodes and clients."),
)

app = typer.Typer(
    name="mpreg",
    cls=LazyGroup.of(VERBS),
    help="A federation of clusters whose every protocol is a plugin.",
    epilog="Exit codes: 0 done; 1 the answer is no; 2 wrong usage; 3 the node could not be reached; "
    "78 a configuration or plugins that `run` refuses.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would cost 0.3 s
)


def _version(asked: bool) -> None:
    if asked:
        from mpreg_core import __version__

        print(f"mpreg {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Here for `--version`; the verbs are in `VERBS`."""


def run() -> None:
    """The entry point `mpreg`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
    app()
