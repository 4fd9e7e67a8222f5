"""Generators of other projects: a foreign file read into a checkpoint of ours, for evaluation.

| format | file | reader |
|---|---|---|
| ganlab's own generators | `.safetensors` of `python -m ganlab convert` | `ganlab_safetensors` |
| NVIDIA's StyleGAN2 | `.pkl`: `G`, `D`, `G_ema` | `nvidia_stylegan2` |
| NVIDIA's StyleGAN3 | `.pkl`: `G`, `D`, `G_ema` | `nvidia_stylegan3` |
| NVIDIA's TensorFlow ProGAN, StyleGAN, StyleGAN2 | `.pkl`: `(G, D, Gs)` | `nvidia_tensorflow` |
| rosinality's StyleGAN2 | `.pt`: `g_ema`, `g`, `d`, `latent_avg` | `rosinality_stylegan2` |
| genforce's and Hammer's StyleGAN2 | `.pth`: `generator_smooth`, ..., in `models` or not | `genforce_stylegan2` |
| genforce's and Hammer's PGGAN and StyleGAN | `.pth`: the same, or a bare state | `genforce_progressive` |
| BMSG-GAN's MSG-GAN | `.pth`: a state with `rgb_converters` | `bmsg_gan` |
| DCGANs: tutorial, examples, pytorch_GAN_zoo | a state of convolutions and batch norms, bare or in a dict | `dcgan` |

`unsupported` knows formats whose networks are not built here, and says why. `faces` and `eyes` are such
files by name. A new format is one module with `TITLE`, `LAYOUTS`, `recognises(content)` and
`checkpoint(file)`, and its place in `FORMATS`.
"""  # noqa: E501

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ganlab.interop import (
    bmsg_gan,
    dcgan,
    eyes,
    faces,
    genforce_progressive,
    genforce_stylegan2,
    nvidia_stylegan2,
    nvidia_stylegan3,
    nvidia_tensorflow,
    rosinality_stylegan2,
    unsupported,
)
from ganlab.interop.containers import unpacked
from ganlab.interop.foreign import ForeignFile
from ganlab.interop.unknown import describe, places

__all__ = ["FORMATS", "NAMED", "describe_unknown", "identify", "titles"]


class Format(Protocol):
    """What the module of a format offers."""

    TITLE: str  # the format in a sentence

    @property
    def LAYOUTS(self) -> Mapping[str, Sequence[str]]:  # noqa: N802 - a module's constant
        """What its files are called -> names of tensors that a generator in one has."""
        ...

    def recognises(self, content: object) -> bool:
        """Whether a file's content, plain data, looks like this format, sound or not."""
        ...

    def checkpoint(self, file: ForeignFile) -> dict[str, Any]:
        """The file as a checkpoint; ValueError says what keeps it from being one."""
        ...


FORMATS: Sequence[Format] = (
    nvidia_stylegan2,
    nvidia_stylegan3,
    nvidia_tensorflow,
    rosinality_stylegan2,
    genforce_stylegan2,
    genforce_progressive,
    bmsg_gan,
    dcgan,
)
NAMED = {"faces": faces.open_weights, "eyes": eyes.open_weights}  # files that a name stands for


def identify(file: ForeignFile) -> dict[str, Any] | None:
    """A checkpoint of a file that was read, or None where no format here knows it.

    It has what `recipes.rebuild_system` needs: a recipe (with the file's source), weights, and a
    clock at zero. Nothing in the file is run.

    Raises:
        ValueError: a file of a known format that is damaged or has an unknown structure.
    """
    file = replace(file, content=unpacked(file.content))
    formats: Sequence[Format] = (unsupported, *FORMATS)
    found = next((each for each in formats if each.recognises(file.content)), None)
    return None if found is None else found.checkpoint(file)


def describe_unknown(content: object) -> str:
    """Of what no format knows: its tensors, the nearest layout of all and what differs.

    Where a part of it is a file of a format by itself, its place, and how to have it alone.
    """
    for place, part in places(content):
        if (found := next((each for each in FORMATS if each.recognises(part)), None)) is not None:
            return (
                f"what it holds at {place} is {found.TITLE}: torch.save(torch.load(<file>, "
                f"weights_only=True){place}, 'alone.pt') makes a file that is read"
            )
    layouts = {title: names for each in FORMATS for title, names in each.LAYOUTS.items()}
    return describe(content, layouts)


def titles() -> str:
    """The formats read here, for messages."""
    return ", ".join(each.TITLE for each in FORMATS)
