"""The one way to open a checkpoint: a file of any format, a name, or an address of the hub."""

from contextlib import suppress
from pathlib import Path

from ganlab.config import Settings
from ganlab.features.weights import sha256_of
from ganlab.interop import (
    NAMED,
    describe_unknown,
    ganlab_safetensors,
    hub,
    identify,
    titles,
)
from ganlab.interop.foreign import of_content
from ganlab.interop.kinds import kind_of
from ganlab.runs.saved_options import records_of
from ganlab.storage import DamagedFile
from ganlab.storage.archive import CompressedArchive
from ganlab.storage.pickles import RefusedPickle
from ganlab.storage.untrusted import read_untrusted
from ganlab.systems.checkpoint import (
    CheckpointError,
    check_content,
    is_ours,
    load_checkpoint,
    require_file,
    unreadable,
)

# Of where a generator comes from: what the reader of another format says, and no file of ours.
OF_READERS = ("format", "sha256", "licence")


def open_checkpoint(
    ckpt: str | Path,  # a file, a name such as faces, or an address such as hf://owner/name/file
    fetch: bool = True,  # False = a file of the hub is to be here already
) -> Settings:
    """A checkpoint for evaluation: one of ours, or another project's file read into one.

    Raises:
        CheckpointError: no such file, or one of no known kind.
        FileNotFoundError, ValueError: see `interop.identify`, the file of the name, and
            `interop.hub.cached_file`.
    """
    if hub.is_address(ckpt):
        kept = hub.cached_file(str(ckpt), fetch)
        found = open_checkpoint(kept.path)
        said = records_of(found["recipe"].get("source")) | {"sha256": sha256_of(kept.path)}
        found["recipe"]["source"] = said | kept.source
        return found
    if (fetched := NAMED.get(str(ckpt))) is not None:
        named = identify(fetched())
        assert named is not None  # it has the digest of a file that was read
        return named
    return open_file(require_file(ckpt))


def open_named(key: str, place: str) -> Settings:
    """`open_checkpoint`, whose errors name the key that was given.

    Raises:
        CheckpointError, FileNotFoundError, ValueError: see `open_checkpoint`.
    """
    try:
        return open_checkpoint(place)
    except ValueError as error:
        text = str(error)
        if not text.startswith("ckpt="):
            raise
        raise CheckpointError(f"{key}={text.removeprefix('ckpt=')}") from error


def open_own(ckpt: str | Path, way: str) -> Settings:
    """`load_checkpoint`; of a file that was trained elsewhere, `way` says what it is good for.

    Raises:
        CheckpointError: see `load_checkpoint`.
    """
    try:
        return load_checkpoint(ckpt)
    except CheckpointError as error:
        if (form := foreign_form(ckpt)) is None:
            raise
        raise CheckpointError(f"ckpt={ckpt} is no run's but {form}: {way}") from error


def foreign_form(ckpt: str | Path) -> str | None:
    """The format of a file that was trained elsewhere; None where it is none that is read."""
    with suppress(ValueError, OSError):
        form = records_of(open_checkpoint(ckpt)["recipe"].get("source")).get("format")
        return None if form is None else str(form)
    return None


def open_file(path: Path) -> Settings:
    """The checkpoint in a file, which is read once and whose content says what it is.

    Raises:
        CheckpointError, ValueError: see `open_checkpoint`.
    """
    content = read_content(path)
    if is_ours(content):
        own = check_content(content, path)
        if "source" in own["recipe"] and not ganlab_safetensors.is_one(path):
            said = records_of(own["recipe"]["source"])
            own["recipe"]["source"] = {k: said[k] for k in said if k not in OF_READERS}
        return own
    if (foreign := identify(of_content(path, content))) is not None:
        return foreign
    try:
        return check_content(content, path)
    except CheckpointError as error:
        told = f"of other formats {titles()} is read; {describe_unknown(content)}"
        raise CheckpointError(f"{error}; {told}") from error


def read_content(path: Path) -> object:
    """What a file holds, plain data, by its own kind: safetensors, or what torch or pickle wrote.

    Raises:
        CheckpointError, ValueError: it is neither, or damaged; see `open_checkpoint`.
    """
    if ganlab_safetensors.is_one(path):
        return ganlab_safetensors.read(path)
    try:
        return read_untrusted(path)
    except (RefusedPickle, DamagedFile, CompressedArchive, OSError) as error:
        with suppress(DamagedFile, OSError):
            if (kind := kind_of(path)) is not None:
                raise CheckpointError(f"ckpt={path}: {kind}") from error
        if isinstance(error, RefusedPickle):
            raise CheckpointError(f"ckpt={path}: {unreadable(error)}") from error
        raise CheckpointError(
            f"ckpt={path}: not a readable checkpoint; it is damaged or some other kind of file; of "
            f"other formats {titles()} is read; read as one of those, {error}"
        ) from error
