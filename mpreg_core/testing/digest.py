"""`python -m mpreg_core.testing.digest NAME OPTIONS SEED` prints the digest of a busy run, for another hash seed."""

import sys
from typing import Any

import msgspec

from mpreg_core.testing.finding import spec_named
from mpreg_core.testing.machine_checks import digest_of
from mpreg_core.testing.subject import Subject

if __name__ == "__main__":
    name, options, seed = sys.argv[1:]
    spec: Any = spec_named(name)
    sys.stdout.write(digest_of(Subject(spec, msgspec.json.decode(options, type=spec.options)), int(seed)) + "\n")
