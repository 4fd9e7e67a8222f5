"""What a semantic pyramid is told: features of a frozen classifier, one level at a time.

Shocher et al.: "Semantic Pyramid for Image Generation" (CVPR 2020), section 3.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganlab.data.batch import Batch
from ganlab.features import StagedExtractor
from ganlab.networks.base import Condition
from ganlab.nn.masks import crops, level_masks
from ganlab.systems.conditioning import Conditioned, Conditioner


class PyramidFeatures(Conditioner):
    """Tells a generator the stages of each image, most of them masked, and the classifier's guess.

    A step has one random level for all its images; the others are masked wholly. With
    `crop_probability` each image has a crop besides: the level is fully on, every finer one outside
    the crop, every deeper one off. The first half of the batch is kept, each image twice: sample i
    of the first half and sample i of the second are told the same, for the diversity loss.

    At evaluation latent i is told image i mod n of the data, levels taking turns; where there is no
    data it is told the class i mod K alone. The classifier is no module of the system: it is in no
    checkpoint and is never averaged or trained.

    Raises:
        ValueError: on construction, a probability outside [0, 1], or crops that are none; on
            `attach`, a generator that mirrors other stages.
    """

    def __init__(
        self,
        extractor: StagedExtractor,  # frozen, with named stages
        crop_probability: float = 0.3,  # share of steps with a crop
        crop: Sequence[float] = (0.25, 0.75),  # sides of a crop, shares of the image's: from, to
    ) -> None:
        key = "model.conditioner"
        if not 0 <= crop_probability <= 1:
            raise ValueError(f"{key}.crop_probability={crop_probability} should be from 0.0 to 1.0")
        if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
            raise ValueError(f"{key}.crop={list(crop)} should be two shares above 0, up to 1")
        file = extractor.file  # its errors should name the key by which it is built here
        extractor.file = replace(file, key=file.key.replace("features.", f"{key}.extractor."))
        self.extractor, self.crop_probability, self.crop = extractor, crop_probability, crop
        self.names = extractor.stage_names  # fine to coarse
        self.num_classes = extractor.num_classes
        self.class_names = extractor.class_names or [*map(str, range(self.num_classes))]
        self._system: Conditioned | None = None

    def preflight(self) -> None:
        """Raise, within about a second, when the classifier's weights are not to be had."""
        self.extractor.preflight()

    def attach(self, system: Conditioned) -> None:
        """Serve this system: its device, its step's randomness, its trainer's data.

        Raises:
            ValueError: its generator does not mirror the extractor at its resolution.
        """
        generator: Any = system.generator  # a mirror of the stages
        shapes = self.extractor.stage_shapes(generator.resolution)
        if (mirror := dict(generator.stages)) != shapes:
            raise ValueError(
                f"model.generator.stages mirrors {mirror}, but model.conditioner.extractor gives "
                f"{shapes} of {generator.resolution} px: choose model/mirror= and its size to match"
            )
        classes = shapes[self.names[-1]][0]
        if generator.num_classes != classes:
            raise ValueError(
                f"model.generator.num_classes={generator.num_classes} is not {classes}"
            )
        self.extractor.prepare()
        self._system = system

    @property
    def system(self) -> Conditioned:
        """Whom it serves.

        Raises:
            ValueError: nobody yet, outside a trainer.
        """
        if self._system is None:
            raise ValueError("conditioner.attach(system) comes first")
        return self._system

    def stages(self, images: Tensor) -> dict[str, Tensor]:
        """Stage -> features, fine to coarse, with a gradient to the images where one is wanted."""
        if self.extractor.anchor.device != images.device:
            self.extractor.to(images.device)
        return self.extractor.stages(images, differentiable=True)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Stage -> features, fine to coarse, without a gradient."""
        with torch.no_grad():
            return self.stages(images)

    def label(self, features: Mapping[str, Tensor]) -> Tensor:
        """The classifier's guess, (N,) int64, from its logits, the last stage."""
        return features[self.names[-1]].argmax(dim=1)

    def masks(
        self,
        features: Mapping[str, Tensor],
        level: str,  # the stage that is fully on
        keep: Tensor | None = None,  # (N, 1, H, W), 0 inside a crop; None = that level alone
    ) -> dict[str, Tensor]:
        """`nn.masks.level_masks` for these features, on their device."""
        shapes = {name: stage.shape[1:] for name, stage in features.items()}
        some = features[level] if level in features else next(iter(features.values()))
        return level_masks(shapes, level, len(some), keep, some.device)

    def condition(
        self,
        images: Tensor,  # (N, 1 or 3, H, W) in [-1, 1]
        level: str,
        keep: Tensor | None = None,  # see `masks`
        label: Tensor | None = None,  # (N,) int64; None = the classifier's guess
    ) -> Condition:
        """What is told of these images at one level, on their device."""
        features = self.features(images)
        masks = self.masks(features, level, keep)
        told = {name: features[name] for name in masks}
        return Condition(self.label(features) if label is None else label, told, masks)

    def __call__(self, batch: Batch) -> tuple[Batch, Condition]:
        """Half of the images, each twice, and what a pair is told.

        Raises:
            ValueError: a batch that has no half.
        """
        half, odd = divmod(len(batch), 2)
        if odd:
            raise ValueError(
                f"data.batch_size leaves {len(batch)} images a process, and half of them are kept: "
                "it must be even"
            )
        kept = torch.arange(half, device=batch.image.device)
        level, crop = self.drawn(half, batch.image.shape[-1])
        told = self.condition(batch.image[kept], level, crop)
        return rows(batch, kept.repeat(2)), repeat(told)

    def drawn(self, half: int, size: int) -> tuple[str, Tensor | None]:
        """The step's level and, in some steps, a crop for each of the kept images."""
        randomness = self.system.randomness
        place, chance = randomness.agreed(2, "level")
        level = self.names[int(place * len(self.names))]
        if chance >= self.crop_probability:
            return level, None
        uniform = randomness.uniform("crop")
        numbers = torch.stack([uniform(half) for _ in range(4)], dim=1)  # (half, 4)
        return level, crops(numbers, size, *self.crop)

    def references(self, indices: Sequence[int]) -> Tensor:
        """Image i mod n of the system's data for each index, (N, C, H, W) in [-1, 1], unflipped.

        Raises:
            ValueError: the system has no data.
        """
        data = self.system.data
        if data is None:
            raise ValueError("there are no images to refer to: give some, as in data=folder")
        chosen = torch.tensor([i % len(data.dataset) for i in indices])
        return data.dataset.images(chosen).to(self.system.device).float().div_(127.5).sub_(1)

    def at(self, indices: Sequence[int]) -> Condition:
        """What latents of these addresses are told: levels take turns, references too.

        Without data, a class alone, on the CPU.
        """
        if self._system is None or self._system.data is None:
            return Condition(label=torch.tensor(list(indices)) % self.num_classes)
        features = self.features(self.references(indices))
        turn = torch.tensor([i % len(self.names) for i in indices], device=self.system.device)
        ones = {name: self.masks(features, name)[name] for name in self.names}
        masks = {
            name: mask * (turn == level).view(-1, *[1] * (mask.ndim - 1))
            for level, (name, mask) in enumerate(ones.items())
        }
        return Condition(self.label(features), features, masks)


def rows(batch: Batch, chosen: Tensor) -> Batch:
    """These rows of a batch."""
    label = None if batch.label is None else batch.label[chosen]
    return Batch(batch.image[chosen], label, batch.index[chosen])


def repeat(condition: Condition) -> Condition:
    """The condition of a batch that is followed by itself."""

    def twice(tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        return {name: torch.cat([each, each]) for name, each in (tensors or {}).items()}

    label = None if condition.label is None else condition.label.repeat(2)
    return Condition(label, twice(condition.features), twice(condition.masks))
