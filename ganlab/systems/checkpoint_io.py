"""How a checkpoint reaches the disk, a failure told, not raised; and how it comes back, checked."""

from pathlib import Path
from typing import Any

from ganlab.storage.archive import write_archive
from ganlab.systems.checkpoint import Writer, load_checkpoint


class CheckpointWriter(Writer):
    """Writes each file where it is asked to, and keeps what went wrong; reads what was checked.

    Lightning's own writes to the machine's temporary folder first, which may be small, and raises
    on the rank that writes while the others wait for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[str, dict[str, Any]] = {}  # path -> content that was read and checked

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: object | None = None,
    ) -> None:
        """Write and flush the file; a failure leaves nothing of it, and `failure` says why."""
        path, self.failure = Path(path), None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_archive(checkpoint, path)
        except (OSError, RuntimeError) as error:
            self.failure = reason(error)

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """What `opened` holds for the path, once, so that a file changed since is not taken up.

        Raises:
            CheckpointError: see `load_checkpoint`, which reads what nobody has read before.
        """
        content = self.opened.pop(str(path), None)
        return load_checkpoint(path) if content is None else content


def reason(error: Exception) -> str:
    """Why a write failed, in the operating system's words where it has some."""
    text = error.strerror if isinstance(error, OSError) else None
    return text[0].lower() + text[1:] if text else str(error)
