"""`study=guided_backprop`: what the discriminator's filters see (Heikka, figure 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import Trainer
from torch import Tensor

from ganlab.networks.base import Condition, Discriminator
from ganlab.report import figures, images
from ganlab.sampling import conditions_of
from ganlab.studies.images.guided_gradients import (
    chosen_layer,
    guided_gradients,
    rectifiers,
    strongest_filters,
)
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.neurons.panels import Panel, panel_figure, picture
from ganlab.studies.reals import data_of
from ganlab.studies.sampling import evaluating, images_at
from ganlab.studies.scores import Study, watched
from ganlab.studies.stored import has_images, stored_images

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


class GuidedBackprop(Study):
    """Guided gradients of the discriminator's filters in real and in generated images.

    Writes `figures/guided_backprop.png` with its numbers: an image a row, a filter a column, the
    gradient of that filter's largest activation. Reals are left out where there are none.

    Raises:
        ValueError: a checkpoint without a discriminator, one without ReLU or LeakyReLU, or a layer
            or filter that it lacks.
    """

    def __init__(
        self,
        *,
        directory: str | Path,  # where the figure goes
        layer: int | str | None = None,  # name or position; None = the middle one
        filters: Sequence[int] | None = None,  # of that layer; None = the most active ones
        num_filters: int = 8,  # so many of them
        num_real: int = 4,  # the data's images 0 .. num_real-1
        num_fake: int = 4,  # latents 0 .. num_fake-1
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        if min(num_real, num_fake) < 0 or num_real + num_fake < 1 or num_filters < 1:
            raise ValueError(
                f"study.num_real={num_real}, study.num_fake={num_fake}, study.num_filters="
                f"{num_filters}: at least one image and one filter are needed"
            )
        self.layer, self.num_filters = layer, num_filters
        self.filters = None if filters is None else [int(f) for f in as_list(filters)]
        self.num_real, self.num_fake = num_real, num_fake
        self.folder = Path(directory)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a generator that comes alone, before any data is read."""
        if getattr(pl_module, "discriminator", None) is None:
            raise ValueError(
                "study=guided_backprop needs a discriminator, and this checkpoint holds none: "
                "choose one that was trained here"
            )
        super().setup(trainer, pl_module, stage)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Draw on the first rank."""
        if not trainer.is_global_zero:
            return
        groups = self.groups(trainer, system)
        network = system.discriminator
        layer, filters = self.choice(network, groups)
        gradients = [
            guided_gradients(
                network,
                group.images,
                layer,
                filters,
                group.condition,
                partial(watched, title=group.title, trainer=trainer),  # type: ignore[arg-type]
            ).cpu()
            for group in groups
        ]
        draw_guided(groups, gradients, layer, filters, self.folder / "figures")

    def groups(self, trainer: Trainer, system: Any) -> list[Shown]:
        """The real and the generated images."""
        found = []
        if self.num_real and has_images(trainer):
            found.append(self.real(data_of(trainer), system))
        if self.num_fake:
            found.append(self.generated(system))
        if not found:
            raise ValueError("study.num_fake=0, and there are no real images: raise study.num_fake")
        return found

    def real(self, data: Any, system: Any) -> Shown:
        """The first images of the data."""
        indices = list(range(min(self.num_real, len(data.dataset))))
        batch = stored_images(data, indices, system.device)
        conditioner = getattr(system, "conditioner", None)
        condition = None
        if conditioner is not None:
            batch, condition = conditioner(batch)
        return Shown("real", indices, batch.image, condition)

    def generated(self, system: Any) -> Shown:
        """Images of the first latents."""
        indices, condition_at = list(range(self.num_fake)), conditions_of(system)
        made = images_at(
            system.generator_ema,
            indices,
            self.seed,
            device=system.device,
            condition_at=condition_at,
        )
        condition = condition_at(indices).to(system.device) if condition_at else None
        return Shown("generated", indices, made, condition)

    def choice(self, network: Discriminator, groups: Sequence[Shown]) -> tuple[str, list[int]]:
        """The layer, and the filters given or most active over the first group of images."""
        first = groups[0]
        with torch.no_grad(), evaluating(network):
            layers = rectifiers(network, first.images, first.condition)
        layer = chosen_layer(layers, self.layer)
        if self.filters is not None:
            return layer, self.filters
        condition = first.condition
        return layer, strongest_filters(network, first.images, layer, self.num_filters, condition)


def draw_guided(
    groups: Sequence[Shown],
    gradients: Sequence[Tensor],  # of each group, (N, F, C, H, W)
    layer: str,
    filters: Sequence[int],
    directory: Path,
) -> Path:
    """`guided_backprop.png` and its numbers: images, indices and gradients of each group."""
    rows: list[tuple[str, Sequence[Panel | None]]] = []
    numbers: dict[str, Any] = {"filters": np.asarray(filters), "layer": np.asarray(layer)}
    for group, found in zip(groups, gradients, strict=True):
        for index, image, maps in zip(group.indices, group.images, found, strict=True):
            titles = [f"filter {f}" if not rows else "" for f in filters]
            shown = [picture(scaled(g), t) for g, t in zip(maps, titles, strict=True)]
            rows.append((f"{group.title} {index}", [picture(image), *shown]))
        numbers[f"{group.title}/indices"] = np.asarray(group.indices)
        numbers[f"{group.title}/images"] = images.to_uint8(group.images).cpu().numpy()
        numbers[f"{group.title}/gradients"] = found.numpy()
    figure = panel_figure(rows)
    note = f"{layer}, gradient of each filter's largest activation; {RULE}"
    annotate(figure, f"{note}\ngrey is 0, each panel scaled to its largest magnitude")
    return figures.save(figure, directory / "guided_backprop.png", numbers, note)


def annotate(figure: "Figure", text: str) -> None:
    """A line or two below everything else."""
    with figures.styled():
        figure.supxlabel(text, fontsize=7, x=0.01, ha="left", color=figures.INK)


def scaled(gradient: Tensor) -> Tensor:
    """A (C, H, W) gradient over its largest magnitude, in [-1, 1]; zeros stay zeros."""
    largest = gradient.abs().amax()
    return gradient / largest if largest > 0 else gradient
