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


def free_place(named: str | Path, key: str, folder: bool = False) -> Path:
    """The path of a file, or of a folder, that an option wants written, whatever of it is missing.

    Raises:
        ValueError: nothing is named, a file stands where a folder is to be, or a folder in the
            file's place.
    """
    if not str(named):
        raise ValueError(f"{key}= is empty: name a {'folder' if folder else 'file'}")
    path = Path(named)
    places = (path, *path.parents) if folder else path.parents
    there = next((each for each in places if each.exists()), None)
    if there is not None and not there.is_dir():
        raise ValueError(f"{key}={path}: {there} is a file, and no folder to write into")
    if path.is_dir() and not folder:
        raise ValueError(f"{key}={path} is a folder: name a file in it")
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
