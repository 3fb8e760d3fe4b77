"""`python -m mpreg.production.start_node`: `mpreg run` under the deployment guide's name, with the same flags."""

import typer

from mpreg_core.cli.run import command


def main() -> None:
    """Start a node."""
    typer.run(command)


if __name__ == "__main__":
    main()
