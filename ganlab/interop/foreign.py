"""What every reader of other projects' files shares: the file, opened safely, and the recipe."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.checks.annotations import annotation_text, annotations, fits
from ganlab.checks.ranges import range_problem, text_of
from ganlab.cli import visible
from ganlab.features.weights import sha256_of

Node = dict[str, Any]  # part of a config: a `_target_` and its arguments


@dataclass(frozen=True)
class ForeignFile:
    """The plain content of a file and where it comes from."""

    place: str  # as the user named it, for messages
    content: Any  # dicts, lists, numbers, tensors on the CPU, and records of objects
    source: Mapping[str, str] = field(default_factory=dict)  # name, file, sha256, licence ...

    def wrong(self, problem: str) -> ValueError:
        """The error that names this file."""
        return ValueError(f"ckpt={self.place} {problem}")

    def tensors(self, state: Mapping[Any, Any], name: str) -> dict[str, Tensor]:
        """A state dict of this file, once it is known to be one.

        Raises:
            ValueError: names what else it holds.
        """
        for key, value in state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor):
                raise self.wrong(f"holds {name}.{key}, which is no tensor")
        return dict(state)


def of_content(path: Path, content: object) -> ForeignFile:
    """A file whose content was read safely."""
    source = {"name": path.stem, "file": str(path), "sha256": sha256_of(path)}
    return ForeignFile(str(path), content, source)


def check_options(file: ForeignFile, network: type[nn.Module], options: Mapping[str, Any]) -> None:
    """Refuse what a file says of a network before it is built with it.

    Raises:
        ValueError: a value of another kind than the option's, or out of its range; names it.
    """
    hints = annotations(network)
    for key, value in options.items():
        words = (
            range_problem("model", key, value)
            if fits(value, hints[key])
            else annotation_text(hints[key])
        )
        if words is not None:
            raise file.wrong(f"has the option {key}={text_of(value)}, which should be {words}")


def unwrapped(name: str) -> str:
    """A tensor's name without what wrappers of devices and compilers put before it."""
    return re.sub(r"^((module|_orig_mod)\.)+", "", name)


def checkpoint_of(
    file: ForeignFile,
    form: str,  # the format's title
    generator: Node,
    discriminator: Node | None,  # None = the file has none
    weights: Mapping[str, Any],  # of a `systems.pretrained.Pretrained` of these networks
    left: Sequence[str] = (),  # what else the file holds, by name
    label_names: Sequence[str] = (),  # what its labels mean, in order, where it says so
) -> dict[str, Any]:
    """A checkpoint as `systems.checkpoint` writes one, for a generator that was trained elsewhere.

    Its data is `ganlab.data.NoImages`: which images it was trained on is not in the file.
    """
    warn_of_nonfinite(file, weights)
    images = {"resolution": generator["resolution"], "channels": generator["channels"]}
    recipe = {
        "model": {
            "_target_": "ganlab.systems.pretrained.Pretrained",
            "generator": generator,
            "discriminator": discriminator,
            **({"label_names": [*label_names]} if label_names else {}),
        },
        "data": {"_target_": "ganlab.data.NoImages", "name": "none", **images},
        "features": None,
        "metrics": None,
        "seed": 0,
        "precision": "32-true",
        "source": {
            **file.source,
            "format": form,
            **({"left_out": ", ".join(left)} if left else {}),
        },
    }
    return {"recipe": recipe, "images_seen": 0, "state_dict": dict(weights)}


def with_prefix(network: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The state of one of a system's networks, as the system names it."""
    return {f"{network}.{name}": value for name, value in weights.items()}


def warn_of_nonfinite(file: ForeignFile, weights: Mapping[str, Any]) -> None:
    """Say in one line which weights hold NaN or infinity."""
    tensors = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    wild = [name for name, value in tensors.items() if not is_finite(value)]
    if wild:
        more = f" and {len(wild) - 1} more" if len(wild) > 1 else ""
        print(
            visible(f"note: ckpt={file.place} has NaN or infinite numbers in {wild[0]}{more}"),
            file=sys.stderr,
        )


def is_finite(value: Tensor) -> bool:
    """Whether no number is NaN or infinite; of most tensors one sum says it."""
    return bool(torch.isfinite(value.sum()) or torch.isfinite(value).all())
