"""Files that a run reads back, each with every check that its format allows."""

from ganlab.storage.regular import DamagedFile, irregular, located, opened, read_text

__all__ = ["DamagedFile", "irregular", "located", "opened", "read_text"]
