"""Makes `spies` and `rank_runs` importable here and in the processes that ranks run in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
