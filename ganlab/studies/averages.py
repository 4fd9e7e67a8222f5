"""`study=averages`: generators averaged over other lengths, made after the training, and scored.

Karras et al. 2024 (arXiv:2312.02696), section 3: of a run that kept two averages with
power-function profiles at some times, least squares make one of any length, as if it had been
followed.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab.checks.places import place_named
from ganlab.networks.base import Generator
from ganlab.nn.norm import Projected
from ganlab.places import run_of
from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.timeline import checkpoint_files
from ganlab.studies.question import Question
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.power_averages import combination, exponent, lengths_of

LENGTHS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2)
CAPTION = "Averages of the generator by the length of their profile"
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Averages(Question):
    """One generator a length, as of the checkpoint that is evaluated; a table and a curve.

    The ordinary average is the first row. The error says by how much a profile is missed, as a
    share of it: it is large where no kept average reaches so far back or so near.

    Raises:
        ValueError: a length that cannot be, or named twice; a run that kept no power averages.
    """

    lengths: Sequence[float] = LENGTHS  # standard deviations, as shares of the images seen
    checkpoints: str | Sequence[str] | None = None  # files, a folder, a pattern; None = those kept
    ckpt: str | None = None  # evaluated

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lengths or len(set(self.lengths)) < len(self.lengths):
            raise ValueError(f"study.lengths={list(self.lengths)} must be some, each once")
        for length in self.lengths:
            try:
                exponent(length)
            except ValueError as error:
                raise ValueError(f"study.lengths: {error}") from error

    def files(self, images_seen: int) -> dict[int, Path]:
        """Images seen -> checkpoint, of those named or kept and the one that is evaluated.

        Those of a later moment are left out.

        Raises:
            ValueError: one of another seed, and so of another run, whose average means nothing.
        """
        own = place_named(str(self.ckpt), "ckpt")
        run = run_of(own)
        kept = sorted((run / "checkpoints" / "kept").glob("*.ckpt")) if run else []
        named = kept if self.checkpoints is None else checkpoint_files(self.checkpoints)
        found: dict[int, Path] = {}
        seeds: dict[Path, object] = {}
        for path in [*named, own]:
            checkpoint = load_checkpoint(path)
            found[int(checkpoint["images_seen"])] = path
            seeds[path] = checkpoint["recipe"].get("seed")
        for path, seed in seeds.items():
            if seed != seeds[own]:
                raise ValueError(
                    f"study.checkpoints: {path} is of another run than ckpt (seed {seed}, not "
                    f"{seeds[own]}), and networks of two runs have no average"
                )
        return {seen: found[seen] for seen in sorted(found) if 0 < seen <= images_seen}

    def run(self, bench: Bench) -> Findings:
        """Score the ordinary average, then each length."""
        made = rebuilt(self.files(bench.images_seen), bench.generator, self.lengths)
        scored, metrics = [bench.baseline], list(bench.baseline)
        for length, (generator, _) in made.items():
            if bench.suite is not None:
                sampler = replace(bench.sampler, generator=generator)
                scored.append(bench.score(f"length {length:g}", sampler=sampler))
                bench.record(scored[-1], sampler, intervention=f"power average {length:g}")
        if not bench.ranks.first:
            return Findings()
        errors = [error for _, error in made.values()]
        values = ([each[name] for each in scored] for name in metrics)
        rows = zip(["ordinary", *made], [None, *errors], *values, strict=True)
        columns = ["length", "error", *metrics]
        chosen = bench.monitor(bench.baseline)
        drawn = {} if chosen is None else {"averages": curve(list(made), scored, chosen)}
        return Findings(tables={"table": Table.of(columns, rows, CAPTION)}, figures=drawn)


def rebuilt(
    files: Mapping[int, Path],  # images seen -> checkpoint
    like: Generator,  # of the same model
    lengths: Sequence[float],
) -> dict[float, tuple[Generator, float]]:
    """Length -> its generator as of the last of these times, and the error of its profile.

    Raises:
        ValueError: a checkpoint without power averages, or of another model.
    """
    kept = {seen: averages_of(path) for seen, path in files.items()}
    gammas = [exponent(length) for averages in kept.values() for length in averages]
    times = [float(seen) for seen, averages in kept.items() for _ in averages]
    states = [state for averages in kept.values() for state in averages.values()]
    found = {}
    for length in lengths:
        weights, error = combination(times, gammas, times[-1], exponent(length))
        found[length] = weighted(like, states, weights.tolist()), error
    return found


def averages_of(path: Path) -> dict[float, State]:
    """Length -> the power average that a checkpoint holds of it."""
    checkpoint = load_checkpoint(path)
    lengths = lengths_of(checkpoint["recipe"])
    if not lengths:
        raise ValueError(
            f"study=averages: {path} is of a run without power averages: train one with "
            "model/power_averages=two keep_every_kimg=<thousands of images>"
        )
    found: dict[float, State] = {length: {} for length in lengths}
    for number, length in enumerate(lengths):
        start = f"power_averages.networks.{number}."
        state = checkpoint["state_dict"]
        found[length] = {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
    return found


@torch.no_grad()
def weighted(like: Generator, states: Sequence[State], weights: Sequence[float]) -> Generator:
    """A generator whose parameters are a sum of others'; its buffers are the last one's."""
    generator = deepcopy(like)
    try:
        generator.load_state_dict(states[-1])
        for name, parameter in generator.named_parameters():
            pairs = zip(weights, states, strict=True)
            total = sum(weight * state[name].double() for weight, state in pairs)
            parameter.copy_(torch.as_tensor(total))
    except (RuntimeError, KeyError) as error:
        raise ValueError("study.checkpoints are of another model than ckpt") from error
    for module in generator.modules():
        if isinstance(module, Projected):
            module.project_()
    return generator


def curve(lengths: Sequence[float], scored: Sequence[Mapping[str, float]], name: str) -> Drawing:
    """A score over the length, and that of the ordinary average as a line across."""
    ordinary, *values = [each[name] for each in scored]
    with figures.house_style():
        figure, (axes,) = figures.new_figure(4.6, 2.7)
        figures.draw_points(axes, 0, name, list(lengths), values)
        axes.axhline(ordinary, color=figures.PALETTE[1], linestyle=":", label="ordinary average")
        axes.set(xlabel="length of the average, share of the images seen", ylabel=name)
        axes.legend()
    numbers = {"length": np.asarray(lengths), name: np.asarray(values)}
    return Drawing(figure, numbers | {"ordinary": np.asarray([ordinary])}, CAPTION)
