"""Checkpoints of ours as one `.safetensors`: a generator, its discriminator and their recipe.

Made by `python -m ganlab convert`. The recipe is JSON in the metadata, and is trusted no more than
that of a checkpoint.
"""

import json
from pathlib import Path
from typing import Any

from ganlab.features.weights import sha256_of
from ganlab.storage import DamagedFile, opened
from ganlab.storage.tensors import packed, read_tensors

TITLE = "ganlab's .safetensors"
EXTENSION = ".safetensors"
RECIPE, CLOCK = "recipe", "images_seen"  # keys of the metadata


def content_of(checkpoint: dict[str, Any]) -> bytes:
    """The bytes of a file; every value of its state is a tensor."""
    metadata = {RECIPE: json.dumps(checkpoint["recipe"]), CLOCK: str(checkpoint["images_seen"])}
    return packed(checkpoint["state_dict"], metadata)


def with_numbers(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """A mapping whose keys are numbers again where JSON made texts of them."""
    return {int(key) if key.isdecimal() else key: value for key, value in pairs}


def is_one(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header, and the header's brace."""
    try:
        with opened(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            return 2 < int.from_bytes(file.read(8), "little") < size and file.read(1) == b"{"
    except (DamagedFile, OSError):
        return False


def read(path: Path) -> dict[str, Any]:
    """The checkpoint in a file.

    Raises:
        ValueError: it is damaged, or has no recipe of ours.
    """
    try:
        metadata, state = read_tensors(path)
        recipe, images_seen = (
            json.loads(metadata[RECIPE], object_pairs_hook=with_numbers),
            int(metadata[CLOCK]),
        )
    except (KeyError, ValueError, RecursionError) as error:
        said = error if isinstance(error, DamagedFile) else "it has no recipe of ganlab's"
        raise ValueError(f"ckpt={path} is no safetensors file made here: {said}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"ckpt={path} has a recipe that is none")
    source = recipe.get("source")
    place = {"name": path.stem, "file": str(path), "sha256": sha256_of(path)}
    kept = {"format": TITLE, **(source if isinstance(source, dict) else {})}
    recipe["source"] = kept | place
    return {"recipe": recipe, CLOCK: images_seen, "state_dict": state}
