"""Files that a run reads back, each with every check that its format allows."""

from ganlab.storage.regular import DamagedFile, irregularity, located, open_regular, read_text

__all__ = ["DamagedFile", "irregularity", "located", "open_regular", "read_text"]
