"""Let the tests find the package `peers`, which `table.py` has beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
