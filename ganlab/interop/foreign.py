"""What every reader of other projects' files shares: the file, opened safely, and the recipe."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ganlab.features.weights import sha256_of
from ganlab.storage.archive import read_archive

Node = dict[str, Any]  # part of a config: a `_target_` and its arguments


@dataclass(frozen=True)
class ForeignFile:
    """The plain content of a file and where it comes from."""

    place: str  # as the user named it, for messages
    content: Any  # dicts, lists, numbers, tensors on the CPU
    source: Mapping[str, str] = field(default_factory=dict)  # name, file, sha256, licence ...

    def wrong(self, problem: str) -> ValueError:
        """The error that names this file."""
        return ValueError(f"ckpt={self.place} {problem}")


def opened(path: Path) -> ForeignFile | None:
    """A file of tensors and plain containers; None where it is no such file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the one about TorchScript
            content = read_archive(path, older=True)
    except Exception:  # pickled objects, other kinds of file, no file: the caller's error says it
        return None
    source = {"name": path.stem, "file": str(path), "sha256": sha256_of(path)}
    return ForeignFile(str(path), content, source)


def checkpoint_of(
    file: ForeignFile,
    form: str,  # the format's title
    generator: Node,
    discriminator: Node | None,  # None = the file has none
    weights: Mapping[str, Tensor],  # of a `systems.pretrained.Pretrained` of these networks
) -> dict[str, Any]:
    """A checkpoint as `systems.checkpoint` writes one, for a generator that was trained elsewhere.

    Its data is `ganlab.data.NoImages`: which images it was trained on is not in the file.
    """
    images = {"resolution": generator["resolution"], "channels": generator["channels"]}
    recipe = {
        "model": {
            "_target_": "ganlab.systems.pretrained.Pretrained",
            "generator": generator,
            "discriminator": discriminator,
        },
        "data": {"_target_": "ganlab.data.NoImages", "name": "none", **images},
        "features": None,
        "metrics": None,
        "seed": 0,
        "precision": "32-true",
        "source": {**file.source, "format": form},
    }
    return {"recipe": recipe, "images_seen": 0, "state_dict": dict(weights)}
