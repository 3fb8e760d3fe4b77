"""`python -m mpreg.validation.validate_config --config FILE`: `mpreg validate` under the deployment guide's name."""

from typing import Annotated

import typer

from mpreg_core.cli.exits import DONE, NO
from mpreg_core.cli.validate import validate


def command(config: Annotated[list[str], typer.Option(help="A configuration file; may be repeated.")]) -> None:
    """Check configuration files: every problem with file, line and key path."""
    outcomes = [validate(file) for file in config]
    raise SystemExit(DONE if all(outcomes) else NO)


def main() -> None:
    """Check, then end with 0 if all files are valid, else 1."""
    typer.run(command)


if __name__ == "__main__":
    main()
