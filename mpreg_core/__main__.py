"""`python -m mpreg_core` is `mpreg`."""

from mpreg_core.cli.main import run

run()
