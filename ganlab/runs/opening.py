"""The one way to open a checkpoint: a file of any format, a name, or an address of the hub."""

from pathlib import Path

from ganlab.config import Settings
from ganlab.features.weights import sha256_of
from ganlab.interop import NAMED, hub, open_foreign, titles, unlike
from ganlab.runs.remembered import records_of
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint


def open_checkpoint(
    ckpt: str | Path,  # a file, a name such as faces, or an address such as hf://owner/name/file
    fetch: bool = True,  # False = a file of the hub is to be here already
) -> Settings:
    """A checkpoint for evaluation: one of ours, or another project's file read into one.

    Raises:
        CheckpointError: no such file, or one of no known kind.
        FileNotFoundError, ValueError: see `interop.open_foreign` and `interop.hub.kept`.
    """
    if hub.is_address(ckpt):
        kept = hub.kept(str(ckpt), fetch)
        found = open_checkpoint(kept.path)
        known = records_of(found["recipe"].get("source")) | {"sha256": sha256_of(kept.path)}
        found["recipe"]["source"] = known | kept.source
        return found
    if str(ckpt) in NAMED:
        named = open_foreign(ckpt)
        assert named is not None
        return named
    try:
        return load_checkpoint(ckpt)
    except CheckpointError as error:
        foreign = open_foreign(ckpt)
        if foreign is None and Path(ckpt).expanduser().is_file():
            said = f"; {listing}" if (listing := unlike(ckpt)) else ""
            raise CheckpointError(f"{error}; of other formats {titles()} is read{said}") from error
        if foreign is None:
            raise
        return foreign
