"""`study=interpolation`: walks between latents (paper figures: Heikka 2021, 5; Radford 2016, 4)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.features import Extractor
from ganlab.networks.base import Generator
from ganlab.nn.paths import WALKS, closed_path, positions, smoothness, step_lengths, walk_path
from ganlab.report import figures
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.image_files import ping_pong
from ganlab.report.images import Pixels, cells, grid
from ganlab.report.tables import Table
from ganlab.report.timeline import evenly_spaced
from ganlab.sampling import Sampler, batched
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import File, Findings
from ganlab.studies.latents.film import FilmedQuestion
from ganlab.studies.latents.latent_set import LatentSet, latent_set
from ganlab.studies.latents.pictures import rows_of, spaces_of
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.question import at_least

COLUMNS = ["space", "walk", "measure", "mean step", "largest step", "unevenness", "detour"]
FPS = 16


@dataclass(frozen=True, kw_only=True)
class Interpolation(FilmedQuestion):
    """Paths from each even to the next odd latent of a list, in z and, where there is one, w.

    For each space and walk a grid of paths and an animation; one table and one curve of how far
    each step goes. A conditional generator is told the start's condition all along a path in z; in
    w each end's style has its own. Random noise is that of a path's start. The video, where one is
    asked for, is one closed path through all latents of `loop` in turn: the step after its last
    frame leads to its first.

    Raises:
        ValueError: an odd number of latents, a space or walk that there is not, z of styles, or a
            video with fewer frames than latents.
    """

    latents: Latents = "0:8"  # path i joins numbers 2i and 2i+1 of these
    spaces: Sequence[str] | None = None  # of z and w; None = both, or z where there is no w
    walks: Sequence[str] | None = None  # linear, spherical; None = all that make sense
    num_steps: int = 33  # points of a path, both ends included
    num_shown: int = 9  # of them in the grid
    loop: Latents = None  # of the video; None = `latents`
    extractor: Extractor | None = None  # measures steps in its features too

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(2, num_steps=self.num_steps, num_shown=self.num_shown)

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        if self.extractor is not None:
            self.extractor.preflight()

    def read(self, generator: Generator) -> LatentSet:
        """The latents that the paths join."""
        found = latent_set(generator, self.latents, self.seed)
        if len(found) % 2:
            raise ValueError(
                f"study.latents={self.latents} must be an even number of latents: path i joins "
                "numbers 2i and 2i+1"
            )
        kinds = self.kinds_of(generator, found)
        self.pixel_factor(*generator.image_size)
        if self.stops(generator).values.ndim == 3 and kinds[0][0] == "z":
            raise ValueError(
                f"study.loop={self.loop} holds styles, which have no place in z: add "
                "'study.spaces=[w]'"
            )
        return found

    def stops(self, generator: Generator) -> LatentSet:
        """The latents that the video's loop goes through."""
        named, key = (self.latents, "latents") if self.loop is None else (self.loop, "loop")
        found = latent_set(generator, named, self.seed, f"study.{key}")
        self.enough_frames(len(found), f"latents of study.{key}")
        return found

    def kinds_of(self, generator: Generator, ends: LatentSet) -> list[tuple[str, str]]:
        """Space and walk of every picture; styles have paths in w alone."""
        styled = ends.values.ndim == 3
        chosen = ["w"] if styled and self.spaces is None else self.spaces
        spaces = spaces_of(generator, None if chosen is None else as_list(chosen))
        if styled and "z" in spaces:
            raise ValueError(
                f"study.spaces={spaces}: study.latents={self.latents} holds styles, which have no "
                "place in z; walk in w"
            )
        asked = None if self.walks is None else as_list(self.walks)
        known = [each for each in asked or WALKS if each in WALKS]
        if asked is not None and len(known) < len(asked):
            raise ValueError(f"study.walks={asked}: a walk is {' or '.join(WALKS)}")
        round_world = generator.prior == "normal"  # a cube has no great circles
        if asked is not None and "z" in spaces and "spherical" in known and not round_world:
            raise ValueError(
                "study.walks: latents of this generator are uniform in a cube, which has no great "
                "circles; walk linear"
            )
        kinds = [(space, walk) for space in spaces for walk in known]
        return [kind for kind in kinds if kind != ("z", "spherical") or round_world]

    def paint(self, bench: Bench, sampler: Sampler) -> Findings:
        """Walk all paths in every way."""
        ends = self.read(bench.generator)
        factor = self.pixel_factor(*bench.generator.image_size)
        if self.extractor is not None:
            self.extractor.to(bench.device).prepare()
        rows: list[list[Any]] = []
        curves, pictures, films, latents = {}, dict[str, Picture](), dict[str, File](), {}
        for space, walk in self.kinds_of(bench.generator, ends):
            name = f"interpolation_{space}_{walk}"
            points = points_of(sampler, ends, space, walk, self.num_steps)
            images = painted_paths(sampler, points, ends.addresses[0::2])
            pictures[name] = self.picture(name, ends, images, sampler)
            latents[name] = points[:, self.shown].flatten(0, 1)
            frames = ping_pong([grid(images[:, t]) for t in range(self.num_steps)])
            films |= self.animation_file(name, frames, FPS)
            films |= self.video_file(name, self.turn(sampler, space, walk), factor)
            rows += [[space, walk, *measured] for measured in self.measure(images)]
            middles = (positions(self.num_steps)[1:] + positions(self.num_steps)[:-1]) / 2
            curves[f"{space}, {walk}"] = (middles.numpy(), step_lengths(images).mean(0).numpy())
        table = Table.of(COLUMNS, rows, "Smoothness of paths", self.notes(ends, sampler))
        drawn = pictures | {"interpolation_steps": draw_steps(curves)}
        return Findings(tables={"table": table}, figures=drawn, files=films, latents=latents)

    @property
    def shown(self) -> list[int]:
        """Points of a path in the grid."""
        return list(evenly_spaced(range(self.num_steps), self.num_shown))

    def picture(self, name: str, ends: LatentSet, images: Tensor, sampler: Sampler) -> Picture:
        """The grid of one kind of path."""
        captions = [f"{a} to {b}" for a, b in zip(ends.names[0::2], ends.names[1::2], strict=True)]
        rows = list(zip(captions, images[:, self.shown], strict=True))
        numbers = {
            "ends": np.array(ends.addresses).reshape(-1, 2),
            "at": positions(self.num_steps).numpy(),
            "shown": np.array(self.shown),
            "step_length": step_lengths(images).numpy(),
        }
        return rows_of(rows, numbers, f"{name.replace('_', ' ')} between {ends.source}", sampler)

    def turn(self, sampler: Sampler, space: str, walk: str) -> Iterator[Pixels]:
        """The frames of the video, painted batch by batch; class and noise are the first stop's."""
        stops = self.stops(sampler.generator)
        values = stops.styles(sampler) if space == "w" else stops.values
        points = closed_path(values, self.num_frames, walk)
        for rows in batched(range(len(points)), sampler.batch_size):
            yield from cells(sampler.paint(points[rows], stops.addresses[:1] * len(rows)))

    def measure(self, images: Tensor) -> list[tuple[str | float, ...]]:
        """Measure and smoothness: in pixels and, with an extractor, in its features."""
        found = [("pixels", *astuple(smoothness(images)))]
        if self.extractor is not None:
            features = path_features(images, self.extractor)
            found.append((self.extractor.name, *astuple(smoothness(features))))
        return found

    def notes(self, ends: LatentSet, sampler: Sampler) -> list[str]:
        """What was measured."""
        return [
            f"{len(ends) // 2} paths between {ends.source}, {self.num_steps - 1} steps each; "
            f"{sampler.stated}",
            "a step is the root mean square difference of neighbours; pixels run from -1 to 1",
            "unevenness: largest step per mean step, 1 = all equal; detour: length per distance "
            "of the ends, 1 = as short as a cross-fade; means over the paths",
        ]


def draw_steps(curves: Mapping[str, Any]) -> Drawing:
    """How far each step goes, over its place on the path: kind of path -> places and lengths."""
    figure, numbers = figures.curves(
        curves, "position on the path", "step (pixels, -1 to 1)", log=False
    )
    figure.axes[0].set_ylim(0, 1.3 * max(float(y.max()) for _, y in curves.values()))
    return Drawing(figure, numbers, "Mean length of each step; flat = even")


def points_of(sampler: Sampler, ends: LatentSet, space: str, walk: str, num_steps: int) -> Tensor:
    """Points of the paths between each even and the next odd latent, (paths, T, Z or L, W)."""
    start, end = ends[0::2], ends[1::2]
    if space == "w":  # in two batches, each as large as one of images: bits depend on the size
        return walk_path(start.styles(sampler), end.styles(sampler), num_steps, walk)
    return walk_path(start.values, end.values, num_steps, walk)


def painted_paths(sampler: Sampler, points: Tensor, addresses: Sequence[int]) -> Tensor:
    """Images of points (paths, T, ...) step by step, (paths, T, C, H, W)."""
    steps = range(points.shape[1])
    return torch.stack([sampler.paint(points[:, t], addresses) for t in steps], dim=1)


@torch.no_grad()
def path_features(images: Tensor, extractor: Extractor) -> Tensor:
    """Features of images (paths, T, C, H, W), (paths, T, d)."""
    device = next((buffer.device for buffer in extractor.buffers()), images.device)
    return torch.stack([extractor(path.to(device))["features"].cpu() for path in images])
