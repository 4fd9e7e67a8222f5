"""Files that a study's options name: there, or refused in one line that names the option."""

import errno
from pathlib import Path


def place_named(named: str | Path, key: str) -> Path:
    """The path that an option names, whether or not something is there; `~` is the user's home.

    Raises:
        ValueError: longer than the file system can hold.
    """
    path = Path(named).expanduser()
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{key}={str(named)[:40]}... is too long for a file's name") from None
    except ValueError:  # a zero byte: there is no such file
        pass
    return path


def file_named(named: str | Path, key: str, takes: str = "") -> Path:
    """The file that an option names; `takes` says what the option takes, for the message.

    Raises:
        FileNotFoundError: there is none.
        ValueError: as `place_named`.
    """
    path = place_named(named, key)
    if not path.is_file():
        hint = f"; {takes}" if takes else ""
        raise FileNotFoundError(f"{key}={named}: no such file{hint}")
    return path
