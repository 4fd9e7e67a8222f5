"""Checkpoints of ours as one `.safetensors`: a generator, its discriminator and their recipe.

Made by `python -m ganlab convert`. The recipe is JSON in the metadata, and is trusted no more than
that of a checkpoint.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ganlab.features.weights import sha256_of
from ganlab.storage import DamagedFile, open_regular
from ganlab.storage.tensors import pack, read_tensors

TITLE = "ganlab's .safetensors"
EXTENSION = ".safetensors"
RECIPE, CLOCK, STAGES = "recipe", "images_seen", "stages"  # keys of the metadata


def content_of(checkpoint: dict[str, Any]) -> bytes:
    """The bytes of a file; of its state what is no tensor, a growing network's stage, is JSON."""
    state = checkpoint["state_dict"]
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    stages = {name: value for name, value in state.items() if name not in tensors}
    metadata = {RECIPE: json.dumps(checkpoint["recipe"]), CLOCK: str(checkpoint["images_seen"])}
    return pack(tensors, metadata | ({STAGES: json.dumps(stages)} if stages else {}))


def with_numbers(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """A mapping whose keys are numbers again where JSON made texts of them."""
    return {int(key) if key.isdecimal() else key: value for key, value in pairs}


def is_one(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header, and the header's brace."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            return 2 < int.from_bytes(file.read(8), "little") < size and file.read(1) == b"{"
    except (DamagedFile, OSError):
        return False


def read(path: Path) -> dict[str, Any]:
    """The checkpoint in a file; of one without a recipe of ours, another's, tensors by name.

    Raises:
        ValueError: it is damaged, or its recipe is none.
    """
    try:
        metadata, state = read_tensors(path)
        if RECIPE not in metadata:
            return dict(state)
        recipe = json.loads(metadata[RECIPE], object_pairs_hook=with_numbers)
        images_seen = int(metadata[CLOCK])
        stages = stages_in(metadata.get(STAGES, "{}"))
    except (KeyError, ValueError, RecursionError) as error:
        said = error if isinstance(error, DamagedFile) else "its recipe is none of ganlab's"
        raise ValueError(f"ckpt={path} is no safetensors file made here: {said}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"ckpt={path} has a recipe that is none")
    source = recipe.get("source")
    place = {"name": path.stem, "file": str(path), "sha256": sha256_of(path)}
    kept = {"format": TITLE, **(source if isinstance(source, dict) else {})}
    recipe["source"] = kept | place
    return {"recipe": recipe, CLOCK: images_seen, "state_dict": state | stages}


def stages_in(text: str) -> dict[str, dict[str, float]]:
    """How far each growing network has come, by its name in a state.

    Raises:
        ValueError: something else.
    """
    found = json.loads(text)
    for name, stage in found.items() if isinstance(found, dict) else [("", None)]:
        if not isinstance(stage, dict) or not name.endswith("._extra_state"):
            raise ValueError("no stages")
        if any(type(value) not in (int, float) for value in stage.values()):
            raise ValueError("no numbers")
    return dict(found)
