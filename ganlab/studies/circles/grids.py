"""Figures 13 and 14 of Tan, Wen, Yang: generators with other norms on equal latents, with scores.

compared = named_checkpoints({"PN": "runs/pn.ckpt", "PIN": "runs/pin.ckpt"})
table, drawing = comparison(bench, compared, generator_of)          # inside `run`
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.nn import norm as norms
from ganlab.report import images
from ganlab.report.directions import way_of
from ganlab.report.drawings import Drawing
from ganlab.report.panels import MARKED, Row, panel_figure, pictures
from ganlab.report.tables import Table
from ganlab.sampling import Sampler
from ganlab.scoring.directions import chosen_monitor
from ganlab.studies.bench import Bench
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

Opener = Callable[[str], Generator]  # checkpoint -> its averaged generator
Compare = Mapping[str, str] | Sequence[str] | str | None  # name -> checkpoint, or checkpoints alone
NAMES = {
    norms.InstanceNorm: "IN",
    norms.PixelNorm: "PN",
    norms.PixelInstanceNorm: "PIN",
    norms.SwitchableNorm: "switchable",
    norms.NoNorm: "none",
}


def norm_name(generator: Generator) -> str:
    """What its layers normalize with, by its first norm; its paper where it has no such points."""
    norms_of = (module for name, module in generator.points.items() if name.endswith("/norm"))
    found = filter(None, (NAMES.get(type(module)) for module in norms_of))
    return next(found, type(generator).__module__.rpartition(".")[2])


def named_checkpoints(compare: Compare) -> list[tuple[str | None, Path]]:
    """Name and file of each; no name where none is given: its norm's is then taken.

    Raises:
        FileNotFoundError: no such file.
    """
    given = [compare] if isinstance(compare, str) else compare or []
    pairs = given.items() if isinstance(given, Mapping) else [(None, each) for each in given]
    found = [(name, Path(str(text)).expanduser()) for name, text in pairs]
    for _, path in found:
        if not path.is_file():
            raise FileNotFoundError(f"study.compare: {path} is no checkpoint")
    return found


@dataclass(frozen=True, eq=False)
class Compared:
    """One generator of the comparison."""

    name: str
    source: str  # its checkpoint
    sampler: Sampler  # that makes the scored images of it
    images_seen: int = 0  # in its training; 0 = not known


def _shape(channels: int, size: Sequence[int]) -> str:
    return f"{channels} channels of {size[1]}x{size[0]} px"


def generators_of(
    bench: Bench, compared: Sequence[tuple[str | None, Path]], opener: Opener
) -> list[Compared]:
    """This generator, then the others, each with a name of its own.

    Raises:
        ValueError: one makes images of another size or number of channels.
    """
    own = bench.generator
    shape = (own.channels, own.image_size)
    found = [Compared(norm_name(own), "ckpt", bench.sampler, bench.images_seen)]
    for name, path in compared:
        other = opener(str(path)).to(bench.device)
        if (there := (other.channels, other.image_size)) != shape:
            raise ValueError(
                f"study.compare: {path} has {_shape(*there)}, ckpt {_shape(*shape)}: scores and "
                "grids need the same"
            )
        called = unused_name(name or norm_name(other), [each.name for each in found])
        sampler = replace(bench.sampler, generator=other)
        found.append(Compared(called, str(path), sampler, images_seen_of(path)))
    return found


def unused_name(name: str, taken: Sequence[str]) -> str:
    """The name, or `<name> 2`, `<name> 3`, ... where it is taken."""
    tries = [name, *(f"{name} {i}" for i in range(2, len(taken) + 2))]
    return next(each for each in tries if each not in taken)


def images_seen_of(path: Path) -> int:
    """How long a checkpoint was trained; 0 of one that does not say, as another project's."""
    try:
        return int(load_checkpoint(path)["images_seen"])
    except CheckpointError:
        return 0


def comparison(
    bench: Bench,
    compared: Sequence[tuple[str | None, Path]],  # of `named_checkpoints`
    opener: Opener,
    num_shown: int = 8,  # latents 0 .. num_shown - 1
) -> tuple[Table, Drawing]:
    """Every generator scored on the bench's latents (on all ranks) and drawn on equal latents.

    Without scores where there is no suite.
    """
    generators = generators_of(bench, compared, opener)
    scores = {each.name: score(bench, each) for each in generators}
    rows = [
        {
            "generator": each.name,
            "checkpoint": each.source,
            "images seen": each.images_seen or None,
            **scores[each.name],
        }
        for each in generators
    ]
    ways = {metric: way for metric in scores[generators[0].name] if (way := way_of(metric))}
    table = Table(list(rows[0]), rows, ways, "Generators on the same latents")
    shown = {each.name: each.sampler.images(range(num_shown)) for each in generators}
    return table, draw_grids(shown, scores, range(num_shown))


def score(bench: Bench, one: Compared) -> dict[str, float]:
    """Metric -> value over the bench's latents; nothing without a suite. Recorded, if new."""
    if bench.suite is None:
        return {}
    if one.source == "ckpt":
        return dict(bench.baseline)
    values = bench.score(f"scoring {one.name}", sampler=one.sampler)
    bench.record(values, one.sampler, one.images_seen, intervention=f"generator {one.name}")
    return values


def draw_grids(
    shown: Mapping[str, Tensor],  # generator -> (N, C, H, W), the same latents
    scores: Mapping[str, Mapping[str, float]],  # generator -> metric -> value; empty = not scored
    indices: Sequence[int],  # addresses of those latents
) -> Drawing:
    """Figures 13 and 14 as one: a row a generator, with the first FID beside it."""
    metrics = list(next(iter(scores.values())))
    monitor = chosen_monitor(metrics, None) if metrics else None
    rows: list[Row] = []
    numbers: dict[str, ArrayLike] = {"indices": list(indices)}
    for name, batch in shown.items():
        caption = name if monitor is None else f"{name}\n{monitor}\n{scores[name][monitor]:.4g}"
        rows.append((caption, pictures(batch, None if rows else indices)))
        numbers[f"{name}/images"] = images.to_uint8(batch)
        numbers |= {f"{name}/{metric}": value for metric, value in scores[name].items()}
    text = "The same latents in generators that differ in their norm (Figures 13 and 14)"
    return Drawing(panel_figure(rows, MARKED), numbers, text)
