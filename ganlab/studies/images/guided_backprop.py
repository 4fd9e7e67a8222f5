"""`study=guided_backprop`: what the discriminator's filters see (Heikka, figure 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganlab.data.positions import stored_images
from ganlab.networks.base import Condition, Discriminator
from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.panels import Row, panel_figure, picture
from ganlab.sampling import evaluating
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.images.guided_gradients import (
    chosen_layer,
    guided_gradients,
    rectifiers,
    strongest_filters,
)
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.question import Question

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULE = "gradients pass a LeakyReLU where its value and the gradient are positive"


@dataclass(frozen=True, eq=False)
class Shown:
    """Images that the discriminator is asked about."""

    title: str  # real or generated
    indices: list[int]  # positions in the data, or addresses of latents
    images: Tensor  # (N, C, H, W)
    condition: Condition | None  # what the discriminator is told of them


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(Question):
    """Guided gradients of the discriminator's filters in real and in generated images.

    Writes `figures/guided_backprop.png` with its numbers: an image a row, a filter a column, the
    gradient of that filter's largest activation. Reals are left out where there are none.

    Raises:
        ValueError: a checkpoint without a discriminator, one without ReLU or LeakyReLU, or a layer
            or filter that it lacks.
    """

    layer: int | str | None = None  # name or position; None = the middle one
    filters: Sequence[int] | None = None  # of that layer; None = the most active ones
    num_filters: int = 8  # so many of them
    num_real: int = 4  # the data's images 0 .. num_real-1
    num_fake: int = 4  # latents 0 .. num_fake-1

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (self.num_real, self.num_fake)
        if min(numbers) < 0 or sum(numbers) < 1 or self.num_filters < 1:
            raise ValueError(
                f"study.num_real={self.num_real}, study.num_fake={self.num_fake}, "
                f"study.num_filters={self.num_filters}: at least one image and one filter are "
                "needed"
            )

    def check(self, bench: Bench) -> None:
        """Refuse a generator that comes alone, before any data is read."""
        if bench.system.discriminator is None:
            raise ValueError(
                "study=guided_backprop needs a discriminator, and this checkpoint holds none: "
                "choose one that holds both, such as one that was trained here"
            )

    def run(self, bench: Bench) -> Findings:
        """The gradients; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        groups, network = self.groups(bench), bench.system.discriminator
        assert network is not None, "see `check`"
        layer, filters = self.choice(network, groups)
        gradients = [
            guided_gradients(
                network,
                group.images,
                layer,
                filters,
                group.condition,
                partial(bench.ranks.progress, title=group.title),
            ).cpu()
            for group in groups
        ]
        return Findings(figures={"guided_backprop": draw_guided(groups, gradients, layer, filters)})

    def groups(self, bench: Bench) -> list[Shown]:
        """The real and the generated images."""
        found = []
        if self.num_real and bench.has_images:
            found.append(self.real_images(bench))
        if self.num_fake:
            found.append(self.generated_images(bench))
        if not found:
            raise ValueError("study.num_fake=0, and there are no real images: raise study.num_fake")
        return found

    def real_images(self, bench: Bench) -> Shown:
        """The first images of the data."""
        indices = list(range(min(self.num_real, len(bench.data.dataset))))
        batch = stored_images(bench.data, indices, bench.device)
        batch, condition = bench.system.conditioner(batch)
        return Shown("real", indices, batch.image, condition)

    def generated_images(self, bench: Bench) -> Shown:
        """Images of the first latents."""
        indices = list(range(self.num_fake))
        made, condition = bench.sampler.batch(indices), bench.sampler.condition(indices)
        return Shown("generated", indices, made, condition)

    def choice(self, network: Discriminator, groups: Sequence[Shown]) -> tuple[str, list[int]]:
        """The layer, and the filters given or most active over the first group of images."""
        first = groups[0]
        with torch.no_grad(), evaluating(network):
            layers = rectifiers(network, first.images, first.condition)
        layer = chosen_layer(layers, self.layer)
        if self.filters is not None:
            return layer, [int(each) for each in as_list(self.filters)]
        condition = first.condition
        return layer, strongest_filters(network, first.images, layer, self.num_filters, condition)


def draw_guided(
    groups: Sequence[Shown],
    gradients: Sequence[Tensor],  # of each group, (N, F, C, H, W)
    layer: str,
    filters: Sequence[int],
) -> Drawing:
    """`guided_backprop.png` and its numbers: images, indices and gradients of each group."""
    rows: list[Row] = []
    numbers: dict[str, Any] = {"filters": np.asarray(filters), "layer": np.asarray(layer)}
    for group, found in zip(groups, gradients, strict=True):
        for index, image, maps in zip(group.indices, group.images, found, strict=True):
            titles = [f"filter {f}" if not rows else "" for f in filters]
            shown = [picture(scale_gradient(g), t) for g, t in zip(maps, titles, strict=True)]
            rows.append((f"{group.title} {index}", [picture(image), *shown]))
        numbers[f"{group.title}/indices"] = np.asarray(group.indices)
        numbers[f"{group.title}/images"] = images.to_uint8(group.images).cpu().numpy()
        numbers[f"{group.title}/gradients"] = found.numpy()
    figure = panel_figure(rows)
    note = f"{layer}, gradient of each filter's largest activation; {RULE}"
    annotate(figure, f"{note}\ngrey is 0, each panel scaled to its largest magnitude")
    return Drawing(figure, numbers, note)


def annotate(figure: "Figure", text: str) -> None:
    """A line or two below everything else."""
    with figures.house_style():
        figure.supxlabel(text, fontsize=7, x=0.01, ha="left", color=figures.INK)


def scale_gradient(gradient: Tensor) -> Tensor:
    """A (C, H, W) gradient over its largest magnitude, in [-1, 1]; zeros stay zeros."""
    largest = gradient.abs().amax()
    return gradient / largest if largest > 0 else gradient
