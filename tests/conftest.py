"""Modules that several folders of tests share: `headless`, `tracker_files`, `processes`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
