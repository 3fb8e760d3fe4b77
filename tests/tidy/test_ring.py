"""The worked plugin in `contrib`: it is outside this project's own environments, so it is tried from its folder."""

import os
import subprocess
import sys
from pathlib import Path

RING = Path(__file__).resolve().parents[2] / "contrib" / "mpreg-gossip-ring"


def test_the_ring_passes_its_own_tests_and_with_them_the_conformance_kit():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(RING), "tests"]
    paths = os.pathsep.join([str(RING), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command,
        cwd=RING,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
