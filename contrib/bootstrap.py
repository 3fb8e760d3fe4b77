"""Create `.venv` with mpreg-core, every plugin and the tools, all editable: `python3 contrib/bootstrap.py`.

Needs only the standard library, and pip on the host (or ensurepip, which is slower). What it
installs is pinned in contrib/constraints.txt. Run it again at any time: what is there stays.
"""

import os
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - here, because an older Python stumbles over the annotations below
    sys.exit(
        "bootstrap: expected Python 3.11 or newer, got {}.{}.{} ({})".format(*sys.version_info[:3], sys.executable)
    )

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(SCRIPTS / ("python.exe" if os.name == "nt" else "python"))
CONSTRAINTS = str(ROOT / "contrib" / "constraints.txt")

NO_INSTALLER = """\
bootstrap: {python} has neither pip nor ensurepip, so it cannot install anything.
On Debian and Ubuntu: `apt-get install python3-pip` (or `python3-venv`), then run this again."""


def main() -> None:
    make_venv()
    pip = find_pip()
    if pip is None:
        sys.exit(NO_INSTALLER.format(python=sys.executable))
    print("bootstrap: installing mpreg and its plugins into .venv", file=sys.stderr)
    try:
        install(pip)
    except subprocess.CalledProcessError as error:
        sys.exit(f"bootstrap: exit code {error.returncode} from {' '.join(error.cmd[:5])} ...")
    show_plugins()


def make_venv() -> None:
    """Keep an environment whose Python runs and is new enough; else start afresh."""
    new_enough = "import sys; sys.exit(sys.version_info < (3, 11))"
    if Path(PYTHON).exists() and works([PYTHON, "-c", new_enough]):
        return
    if VENV.exists():
        shutil.rmtree(VENV)
    venv.create(VENV, symlinks=os.name != "nt")  # without pip: ensurepip costs 6 to 12 seconds


def find_pip() -> list[str] | None:
    """The host's pip, told to work on the environment; else the environment's own, from ensurepip."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "--python", PYTHON]
    if find_spec("ensurepip") and works([PYTHON, "-m", "ensurepip"]):
        return [PYTHON, "-m", "pip"]
    return None


def install(pip: list[str]) -> None:
    """One resolver run over everything: by uv in seconds, by pip where uv cannot be had."""
    plugins = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("plugins/*/pyproject.toml"))
    targets = [".[dev,fast,all]", *(f"./{path.as_posix()}" for path in plugins), "./contrib/mpreg"]
    wanted = ["--constraint", CONSTRAINTS, *(argument for target in targets for argument in ("--editable", target))]
    if works([*pip, "install", "--quiet", "--only-binary", "uv", "--constraint", CONSTRAINTS, "uv"]):
        uv = [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON]
        run([*uv, "--build-constraint", CONSTRAINTS, *wanted])
    else:
        print("bootstrap: uv is not to be had here; pip does it in about a minute", file=sys.stderr)
        run([*pip, "install", "--quiet", "--constraint", CONSTRAINTS, "flit_core"])
        run([*pip, "install", "--quiet", "--no-build-isolation", *wanted])


def show_plugins() -> None:
    """Print what was installed, if the command that lists it works already."""
    listing = subprocess.run([SCRIPTS / "mpreg", "plugins", "list"], check=False, capture_output=True, text=True)
    if listing.returncode == 0:
        print(listing.stdout, end="")


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def works(command: list[str]) -> bool:
    return subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


if __name__ == "__main__":
    main()
