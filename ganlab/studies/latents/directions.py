"""`study=directions`: images moved along what latent space was found to hold, without labels.

Shen, Zhou: "Closed-Form Factorization of Latent Semantics in GANs" (SeFa, arXiv:2007.06600).
Harkonen et al.: "GANSpace: Discovering Interpretable GAN Controls" (arXiv:2004.02546).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.metrics.edits import change
from ganlab.networks.base import Generator
from ganlab.report.drawings import Picture
from ganlab.report.tables import Table
from ganlab.sampling import Sampler, has_styles
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.components import METHODS, Components, find_components, moved
from ganlab.studies.latents.interpolation import painted_paths
from ganlab.studies.latents.latent_set import LatentSet, latent_set
from ganlab.studies.latents.pictures import LatentQuestion, rows_of
from ganlab.studies.neurons.layers import Layer, as_list, select_layers
from ganlab.studies.question import at_least

COLUMNS = ["component", "share", "deviation", "change"]


@dataclass(frozen=True, kw_only=True)
class Directions(LatentQuestion):
    """Moves images along components of w, or of z where there are no styles; a strip a component.

    `sefa` reads the weights that a latent enters, `pca` what the first latents become: w or, with
    `layer`, activations that are regressed back. Writes `figures/directions_<k>.png`,
    `directions.npz` with the vectors, and `table.*`: each component's share, its standard
    deviation, and how far the images move from end to end.

    Raises:
        ValueError: another method, a layer with sefa, pca of w without styles, a layer or style
            that there is not, or what `find_components` refuses.
    """

    method: str = "sefa"  # or pca
    layer: Layer | None = None  # pca: of this layer's activations; None = of w
    num: int = 5  # components
    num_latents: int = 2000  # latents 0 .. num_latents-1 that pca and deviations are of
    latents: Latents = "0:4"  # images that are moved, a row each
    reach: float = 3.0  # standard deviations moved to either side
    num_steps: int = 7  # images in a row
    styles: Sequence[int] | None = None  # layers whose style is moved; None = all

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num=self.num)
        at_least(2, num_latents=self.num_latents, num_steps=self.num_steps)
        if self.method not in METHODS:
            raise ValueError(f"study.method must be {' or '.join(METHODS)}, got {self.method!r}")
        if self.layer is not None and self.method != "pca":
            raise ValueError(f"study.layer={self.layer} goes with study.method=pca")

    @property
    def moved_styles(self) -> list[int] | None:
        """The layers whose style is moved, as a list."""
        return None if self.styles is None else as_list(self.styles)

    def read(self, generator: Generator) -> LatentSet:
        """The images that are moved; refuses a layer and styles that there are not."""
        self.layer_of(generator)
        check_styles(generator, self.moved_styles)
        return latent_set(generator, self.latents, self.seed)

    def layer_of(self, generator: Generator) -> str | None:
        """The layer's name, if pca is of one."""
        if self.layer is not None:
            return select_layers(generator, [self.layer], "study.layer")[0]
        if self.method == "pca" and not has_styles(generator):
            raise ValueError(
                f"study.method=pca is of w, and {type(generator).__module__} has no styles: name "
                "a study.layer, or take study.method=sefa"
            )
        return None

    def paint(self, bench: Bench, sampler: Sampler) -> Findings:
        """Find the components and move the images along each."""
        found, layer = self.read(bench.generator), self.layer_of(bench.generator)
        parts = find_components(sampler, self.method, self.num, self.num_latents, layer)
        strips = [self.strip(sampler, found, parts, k) for k in range(len(parts.vectors))]
        pictures = {
            f"directions_{k}": self.picture(k, images, found, sampler)
            for k, images in enumerate(strips)
        }
        arrays = {name: value.numpy() for name, value in vars(parts).items()}
        table = self.table(parts, strips, sampler)
        return Findings(tables={"table": table}, figures=pictures, arrays={"directions": arrays})

    @property
    def steps(self) -> list[float]:
        """Standard deviations by which the images of a row are moved."""
        return torch.linspace(-self.reach, self.reach, self.num_steps).tolist()

    def strip(self, sampler: Sampler, found: LatentSet, parts: Components, k: int) -> Tensor:
        """Every image moved along one component, (N, T, C, H, W)."""
        start = found.styles(sampler) if has_styles(sampler.generator) else found.values
        by = [step * float(parts.deviations[k]) for step in self.steps]
        points = moved(start, parts.vectors[k], by, self.moved_styles)
        return painted_paths(sampler, points, found.addresses)

    def picture(self, k: int, images: Tensor, found: LatentSet, sampler: Sampler) -> Picture:
        """The strip of one component."""
        rows = list(zip(found.names, images, strict=True))
        text = f"Component {k} of {self.method}, {self.steps[0]:g} to {self.steps[-1]:g} deviations"
        numbers: dict[str, ArrayLike] = {"at": self.steps, "index": found.addresses}
        return rows_of(rows, numbers, f"{text}; {found.source}", sampler)

    def table(self, parts: Components, strips: Sequence[Tensor], sampler: Sampler) -> Table:
        """A row a component."""
        changes = [float(change(images[:, -1], images[:, 0]).mean()) for images in strips]
        numbers = parts.shares.tolist(), parts.deviations.tolist(), changes
        rows = [[k, *row] for k, row in enumerate(zip(*numbers, strict=True))]
        space = "w" if has_styles(sampler.generator) else "z"
        of = "" if self.layer is None else f" of layer {self.layer}"
        notes = [
            f"{self.method}{of}, directions of {space}; share: of the sum of all eigenvalues",
            f"deviation: of {space} of {self.num_latents} latents of seed {self.seed}",
            "change: root mean square between both ends, as a share of the range",
        ]
        return Table.of(COLUMNS, rows, "Directions", notes)


def check_styles(generator: Generator, layers: Sequence[int] | None) -> None:
    """Raise ValueError for layers whose style cannot be moved."""
    if layers is None:
        return
    count = generator.num_styles if has_styles(generator) else 0
    if not layers or not all(type(n) is int and 0 <= n < count for n in layers):
        there = f"are styles 0 to {count - 1}" if count else "are none in this generator"
        raise ValueError(f"study.styles={list(layers)}: there {there}")
