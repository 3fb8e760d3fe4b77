"""Writes the reference page of the command line from the commands themselves.

`python -m mpreg_core.cli.reference > docs/reference/cli.md`; a test fails when the page is not what this prints.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import typer
from typer.core import TyperGroup

from mpreg_core.cli.lazy import Verb
from mpreg_core.cli.main import VERBS, app

if TYPE_CHECKING:
    from typer._click import Command, Context

INTRO = """\
# Command line

<!-- Written by `python -m mpreg_core.cli.reference`; do not edit. -->

Data goes to stdout, words go to stderr. Where stdout is a terminal, an answer is a table; in a pipe it is JSON, one
document for an answer and one line for each event of a stream. `--output` chooses either.

Verbs that ask a node take its HTTP API from `--api` or `MPREG_API` and a bearer token from `--token` or
`MPREG_TOKEN`. `--watch` repeats a reading verb, every 2 s or every so many seconds as it is told, until Ctrl-C.
`mpreg --install-completion` sets up completion for your shell.

Values and payloads on the command line are JSON where they can be read as JSON, else texts: `5` is a number, `"5"`
and `five` are texts. Write `--` before one that begins with `-`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | the answer is no: invalid configuration, unhealthy, refused, not found |
| 2 | wrong usage |
| 3 | the node could not be reached, or what answered is no mpreg node |
| 78 | a configuration or a set of plugins that `mpreg run` refuses |
| 130 | ended by Ctrl-C |

Plugins may bring commands, which are mounted under the plugin's name: `mpreg NAME ...`. `mpreg --help` lists them
without importing a plugin, and a plugin that fails breaks only its own. A verb of this page wins over a plugin of the
same name.
"""

EXAMPLES = {
    "run": "mpreg run --config hub.yaml --set network.listen_port=8180 --plugins phi,regional:routing=graph",
    "validate": "mpreg validate hub.yaml member.yaml",
    "plugins list": "mpreg plugins list --config hub.yaml",
    "plugins show": "mpreg plugins show swim --output json",
    "members": "mpreg members --status failed --watch 5",
    "routes": "mpreg routes payments --policy geographic",
    "events": "mpreg events --follow --output json",
    "state put": "mpreg state put limits/eu '{\"requests\": 500}' --scope federation",
    "state get": "mpreg state get limits/eu --scope federation --consistency linearizable",
    "state list": "mpreg state list limits/",
    "state watch": "mpreg state watch limits/eu --scope federation",
    "propose": "mpreg propose max_load 0.8 --scope region",
    "clusters register": "mpreg clusters register shop-eu --service payments --endpoint http://10.0.0.7/rpc --ttl 30",
    "clusters heartbeat": "mpreg clusters heartbeat shop-eu --load 0.4",
    "discover": "mpreg discover payments --near 51.5,-0.1",
    "request": "mpreg request payments '{\"amount\": 12}' --timeout 2 --idempotent",
    "serve": "mpreg serve billing.total -- python3 total.py",
    "publish": "mpreg publish orders.eu.created '{\"id\": 7}'",
    "subscribe": "mpreg subscribe 'orders.#'",
    "shutdown": "mpreg shutdown --yes --api http://127.0.0.1:8180",
}


def page(verbs: Sequence[Verb] = VERBS) -> str:
    """The whole page."""
    sections: dict[str, list[str]] = {}
    for verb in verbs:
        sections.setdefault(verb.section, []).append(sheet(verb))
    return "\n".join([INTRO, *("\n".join([f"## {name}\n", *sheets]) for name, sheets in sections.items())])


def sheet(verb: Verb) -> str:
    """A verb's part of the page."""
    root = typer.Context(typer.main.get_command(app), info_name="mpreg")
    return "\n".join(_sheets(verb.load(), verb.name, root))


def _sheets(command: "Command", name: str, parent: "Context") -> Iterator[str]:
    """A command's part of the page, or the parts of those below it."""
    context = typer.Context(command, info_name=name, parent=cast("typer.Context", parent))
    if isinstance(command, TyperGroup):
        for below, one in command.commands.items():
            yield from _sheets(one, below, context)
        return
    path = context.command_path.removeprefix("mpreg ")
    text = " ".join((command.help or "").split())
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"### mpreg {path}\n", f"{text}\n", f"```text\n{usage}\n```\n"]
    if path in EXAMPLES:
        lines.append(f"```sh\n{EXAMPLES[path]}\n```\n")
    lines += ["| option | means |", "|---|---|"]
    records = (param.get_help_record(context) for param in command.params)
    lines += [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in filter(None, records)]
    yield "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
