"""`python -m ganlab export ckpt=<file> out=<file>`: a generator as a graph that needs no ganlab.

`out=x.onnx` is one of ONNX (`ganlab[onnx]`), `out=x.pt2` one of `torch.export`, opened with
`torch.export.load`. Inputs are `latents` (N, Z) of any N, `labels` (N,) of a conditional generator,
and `truncation`, a number, of one with styles; noise is each layer's own plane.
"""

import importlib
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ganlab import __version__
from ganlab.checks.places import free_place
from ganlab.networks.base import Condition, Generator
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.conversion import check_told
from ganlab.runs.provenance import commit
from ganlab.runs.recipes import rebuild_system
from ganlab.sampling import Sampler, full_size, has_styles
from ganlab.storage.atomic import temporary
from ganlab.systems.system import System

Inputs = dict[str, Tensor]
Run = Callable[[Inputs], Tensor]  # what a written graph makes of its inputs

BATCHES = (1, 3)  # numbers of images that a written graph is compared at
PSI = 0.7  # truncation of those images
ALIKE = 1e-4  # largest difference over the images' standard deviation that passes for rounding
OUTPUT = "images"
SOURCE = ("name", "format", "sha256", "licence", "origin")  # not where it lay on this machine


class Graph(nn.Module):
    """What is exported: latents, and what else a generator is told, to images of its full size."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, truncation: Tensor | None = None
    ) -> Tensor:
        """(N, Z), (N,) and () -> (N, C, H, W)."""
        network = self.generator
        condition = None if labels is None else Condition(label=labels)
        if truncation is not None and has_styles(network):
            styles, mean = network.map(latents, condition), network.mean_style
            images = network.synthesize(mean + truncation * (styles - mean), "const")
        else:
            images = network(latents, condition)
        return full_size(images, network)


def inputs_of(generator: Generator, n: int) -> Inputs:
    """Those of the first n addresses, as an evaluation has them."""
    found = {"latents": Sampler(generator).latents(range(n))}
    if generator.num_labels:
        found["labels"] = torch.arange(n) % generator.num_labels
    if has_styles(generator) and generator.truncates:
        found["truncation"] = torch.tensor(PSI)
    return found


def program_of(generator: Generator) -> Any:
    """The exported program; its batch is as large as one gives it."""
    given = inputs_of(generator, 2)  # one alone would be taken for a constant
    batch = torch.export.Dim("batch", min=1)
    shapes = {name: {0: batch} if value.ndim else None for name, value in given.items()}
    with torch.no_grad():
        return torch.export.export(
            Graph(generator).eval(), (), given, dynamic_shapes=shapes, strict=False
        )


@dataclass(frozen=True)
class Written:
    """A form of file."""

    title: str
    write: Callable[[Any, Path, dict[str, str]], None]  # program, place, what is said of it
    opened: Callable[[Path], Run]


def write_onnx(program: ExportedProgram, path: Path, about: dict[str, str]) -> None:
    """Write it as ONNX."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # of libraries that are not missed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch to itself
        found = torch.onnx.export(program, dynamo=True, verbose=False, output_names=[OUTPUT])
    assert found is not None
    found.model.metadata_props.update(about)
    found.save(str(path), external_data=False)


def opened_onnx(path: Path) -> Run:
    """One of ONNX, in onnxruntime."""
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return torch.from_numpy(session.run([OUTPUT], arrays)[0])

    return run


def write_program(program: ExportedProgram, path: Path, about: dict[str, str]) -> None:
    """Write it as `torch.export` does."""
    torch.export.save(program, path, extra_files={"about.json": json.dumps(about)})


def opened_program(path: Path) -> Run:
    """One of `torch.export`."""
    module = torch.export.load(path).module()

    def run(inputs: Inputs) -> Tensor:
        images: Tensor = module(**inputs)
        return images

    return run


FORMS = {
    ".onnx": Written("ONNX", write_onnx, opened_onnx),
    ".pt2": Written("torch.export", write_program, opened_program),
}


def export(
    ckpt: str,
    target: Path,
    extra: list[str],  # this and the next as in `recipes.rebuild_system`
    given: dict[str, Any] | None = None,
) -> str:
    """Write the averaged generator of a checkpoint, and compare; what was written, in a line.

    Raises:
        ValueError: another ending, a library that is missing, or a generator that no such inputs
            tell what it is to paint.
        CheckpointError: see `checkpoint_files.open_checkpoint`.
    """
    if target.suffix not in FORMS:
        raise ValueError(f"out={target} should end in {' or '.join(FORMS)}")
    form = FORMS[free_place(target, "out").suffix]
    if form is FORMS[".onnx"]:
        require("onnx", "onnxscript", "onnxruntime")
    system = rebuild_system(open_checkpoint(ckpt), extra, given)
    check_told(system, ckpt)
    generator = system.generator_ema.requires_grad_(False)
    program = program_of(generator)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary(target).with_suffix(target.suffix)
    try:
        form.write(program, partial, about(system))
        worst = largest_difference(form.opened(partial), system)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    names = ", ".join(inputs_of(generator, 1))
    more = "" if worst < ALIKE else f", above {ALIKE:g}: look at its images before using it"
    return (
        f"{target}: {form.title}, {names} -> {OUTPUT}; differs from ganlab's images by at most "
        f"{worst:.1g} of their deviation{more}"
    )


def require(*names: str) -> None:
    """Refuse what libraries that are missing would be needed for.

    Raises:
        ValueError: says what installs them.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"out=<file>.onnx needs {name}: pip install 'ganlab[onnx]', or name a .pt2"
            ) from error


def about(system: System) -> dict[str, str]:
    """What a file says of itself."""
    source = system.recipe.get("source") or {}
    made = {"ganlab": __version__, "commit": commit() or "", "images_seen": str(system.images_seen)}
    network = {"generator": type(system.generator_ema).__module__}
    known = {f"source_{key}": str(source[key]) for key in SOURCE if key in source}
    return made | network | known


def largest_difference(run: Run, system: System) -> float:
    """Of a written graph's images from ours, over their standard deviation, in small batches."""
    generator, found = system.generator_ema, []
    truncation = PSI if has_styles(generator) and generator.truncates else None
    sampler = Sampler.of(system, truncation=truncation)
    for n in BATCHES:
        ours = sampler.batch(range(n))
        difference = (run(inputs_of(generator, n)) - ours).abs().max()
        found.append(float(difference / ours.std()))
    return max(found)
