"""The planted strategies are a module, so that a run in another process finds them by name as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
