"""`mpreg token`: bearer tokens, signed with the secret of a configuration. No node is asked."""

from typing import Annotated

import typer

from mpreg_core.cli.exits import REFUSED, fail
from mpreg_core.cli.options import VerbCommand, group

app = group("Issue bearer tokens, signed with a configuration's secret. No node is asked.")

SUBJECT_CHARS_MAX = 200


@app.callback()
def main() -> None:
    """Here so that `issue` stays a command of its own."""


@app.command("issue", cls=VerbCommand)
def issue(
    role: Annotated[
        str,
        typer.Option(
            metavar="ROLE",
            help="viewer, operator, admin, or a name that security.authorization has for one.",
            show_default=False,
        ),
    ],
    subject: Annotated[str, typer.Option(metavar="NAME", help="Whom the token names.")] = "mpreg-cli",
    expires_in: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", min=1, help="Default: security.authentication.token_expiry.", show_default=False
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Configuration file; default MPREG_CONFIG_PATH.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="A key, over the file.")
    ] = None,
) -> None:
    """Print a token for MPREG_TOKEN, for a client or a scraper; 78 when the configuration has no secret."""
    import time

    from mpreg_core.config.load import load_config
    from mpreg_core.errors import ConfigError
    from mpreg_core.security.tokens import tokens_of

    if not 0 < len(subject) <= SUBJECT_CHARS_MAX or not subject.isprintable():
        raise typer.BadParameter(f"expected 1 to {SUBJECT_CHARS_MAX} printable characters", param_hint="--subject")
    try:
        settings = load_config(config, sets=sets or ())
    except ConfigError as error:
        fail(str(error), REFUSED)
    tokens, authentication = tokens_of(settings), settings.security.authentication
    if tokens is None or authentication is None:
        fail("expected security.authentication with method jwt and a secret_key in the configuration", REFUSED)
    if role not in tokens.names:
        raise typer.BadParameter(f"expected one of {', '.join(tokens.names)}, got {role!r}", param_hint="--role")
    print(tokens.issue(subject, role, int(time.time()), expires_in or round(authentication.token_expiry)))
