"""Progressive growing as a pure function of images seen, and how a system applies it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ganlab.nn.frames import Frame, Resolution
from ganlab.nn.growing import Growing, Stage
from ganlab.systems.optimizers import set_rates
from ganlab.systems.training import Training

FIRST_RESOLUTION = 4  # of level 0
LISTS = {  # by resolution: name -> what it takes, in words and as a type, and an example
    "batch_sizes": ("whole numbers", int, 64),
    "learning_rates": ("numbers", int | float, 0.001),
}


@dataclass(frozen=True)
class Growth:
    """Images seen -> stage: train a level, fade the next one in, and so on to the last.

    Karras et al. 2018 (arXiv:1710.10196), section 2 and appendix A.1: a level is trained alone for
    `stable_kimg`, then alpha of the next rises linearly from 0 to 1 over `fade_kimg`. Level l has
    4 * 2^l px. Batch sizes and learning rates are those of the level being faded in; they are
    given by resolution in pixels, and what is not listed keeps data.batch_size or its own rate.

    Raises:
        ValueError: a resolution, a level, a length, a size or a rate that cannot be; names the key.
    """

    resolution: Resolution  # of the last level, a power of two from 4; or height and width
    stable_kimg: float = 600.0  # thousands of images at each level alone
    fade_kimg: float = 600.0  # thousands of images from alpha 0 to 1; 0.0 = at once
    first_level: int = 0  # level the run starts at: 0 = 4x4, 1 = 8x8
    batch_sizes: Mapping[int, int] | None = None  # pixels -> images per step over all processes
    learning_rates: Mapping[int, float] | None = None  # pixels -> rate of both optimizers
    reset_optimizers: bool = True  # forget the optimizers' moments where a fade begins and ends

    def __post_init__(self) -> None:
        if not is_level(self.size):
            raise ValueError(
                f"model.growth.resolution (data.resolution) must be a power of two from 4, got "
                f"{self.resolution}"
            )
        if not 0 <= self.first_level <= self.last_level:
            raise ValueError(
                f"model.growth.first_level must be from 0 to {self.last_level} at "
                f"{self.resolution} px, got {self.first_level}"
            )
        if self.stable_images < 1 or self.fade_images < 0:
            raise ValueError("model.growth.stable_kimg must be above 0, fade_kimg at least 0")
        lists = {"batch_sizes": self.batch_sizes, "learning_rates": self.learning_rates}
        for name, listed in lists.items():
            if listed is not None:
                check_listed(name, listed)

    @property
    def last_level(self) -> int:
        """Level of the full resolution."""
        return (self.size // FIRST_RESOLUTION).bit_length() - 1

    @property
    def size(self) -> int:
        """Pixels of the square that the last level has as many levels as."""
        return Frame.of("growth", self.resolution).size

    @property
    def stable_images(self) -> int:
        """Images at a level alone."""
        return round(self.stable_kimg * 1000)

    @property
    def fade_images(self) -> int:
        """Images from alpha 0 to 1."""
        return round(self.fade_kimg * 1000)

    def __call__(self, images_seen: int) -> Stage:
        """The stage of the batch that starts at `images_seen`."""
        phase, within = divmod(images_seen, self.stable_images + self.fade_images)
        level = self.first_level + phase
        fading = within - self.stable_images
        if level >= self.last_level:
            return Stage(self.last_level, 1.0)
        # at alpha 0 the next level would learn nothing: the batch belongs to the one before
        return Stage(level + 1, fading / self.fade_images) if fading > 0 else Stage(level, 1.0)

    @property
    def images_needed(self) -> int:
        """Images until the last level is all there."""
        return (self.last_level - self.first_level) * (self.stable_images + self.fade_images)

    def batch_size(self, images_seen: int, default: int) -> int:
        """The global batch that starts at `images_seen`."""
        return (self.batch_sizes or {}).get(pixels(self(images_seen)), default)

    def learning_rate(self, stage: Stage) -> float | None:
        """The learning rate listed for a stage, if any."""
        return (self.learning_rates or {}).get(pixels(stage))


def batches_of(growth: Growth | None, batch: int) -> set[int]:
    """All global batches of a run whose data ask for `batch` where no schedule does."""
    return {batch, *((growth and growth.batch_sizes) or {}).values()}


def is_level(resolution: object) -> bool:
    """Whether images of some level have this size: a power of two from 4, in pixels."""
    if not isinstance(resolution, int) or resolution < FIRST_RESOLUTION:
        return False
    return not resolution & (resolution - 1)


def check_listed(
    name: str,  # of LISTS
    listed: Any,
) -> None:
    """Refuse what does not map the resolution of a level to a finite number above 0.

    Raises:
        ValueError: names the key and shows how it is written.
    """
    numbers, kind, example = LISTS[name]

    def fits(value: object) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool) and 0 < value < math.inf

    mapped, wrong = isinstance(listed, Mapping), listed
    if mapped:
        wrong = {key: each for key, each in listed.items() if not is_level(key) or not fits(each)}
    if wrong or not mapped:
        raise ValueError(
            f"model.growth.{name} maps pixels (powers of two from 4) to {numbers} above 0, as "
            f"'model.growth.{name}={{16: {example}}}'; got {wrong}"
        )


def pixels(stage: Stage) -> int:
    """Size of a stage's images, px of a square."""
    return FIRST_RESOLUTION << stage.level


def check_growth(growth: Growth, networks: Mapping[str, nn.Module]) -> None:
    """Refuse networks that do not grow, or end at another resolution than the schedule.

    Raises:
        ValueError: names the key.
    """
    for name, network in networks.items():
        if not isinstance(network, Growing):
            raise ValueError(f"model.growth: this model's {name} does not grow; leave it null")
        levels = network.num_levels
        if levels != growth.last_level + 1:
            raise ValueError(
                f"model.growth.resolution={growth.resolution} needs {growth.last_level + 1} levels "
                f"and the {name} has {levels}: give both the same resolution"
            )


def share_schedule(system: Training, growth: Growth) -> None:
    """Let the data ask the same schedule for its batch sizes.

    Raises:
        ValueError: a batch that the processes cannot share equally.
    """
    world = system.trainer.world_size
    for key, size in (growth.batch_sizes or {}).items():
        if size % world:
            raise ValueError(
                f"model.growth.batch_sizes: {size} at {key} px must be a multiple of the number of "
                f"processes, {world}"
            )
    data = system.data
    if data is not None:
        default = data.batch_size
        data.batch_size_at = lambda position: growth.batch_size(position, default)


def take_first_stage(system: Training, growth: Growth) -> None:
    """Let whoever looks at a fresh run before its first batch see the first stage.

    A resumed run stays as its checkpoint says: there the step to a new level is still to come.
    """
    if system.images_seen == 0:
        grow_to(system, growth(0))


def take_full_size(system: Training) -> None:
    """Let networks that are to grow no further work at their last level.

    Fresh ones do; those of a checkpoint that was still growing stand where it stood.
    """
    for network in growing(system):
        network.grow_to(Stage(network.num_levels - 1))


def growing(system: Training) -> list[Growing]:
    """Those of the networks that grow; under a schedule, all of them."""
    return [network for network in system.networks().values() if isinstance(network, Growing)]


def grow_to(system: Training, stage: Stage) -> None:
    """Bring all networks to a stage."""
    for network in growing(system):
        network.grow_to(stage)


def warn_if_too_short(kimg: float, growth: Growth) -> None:
    """One line if the run is too short to reach its last level."""
    if kimg * 1000 < growth.images_needed:
        frame = Frame.of("growth", growth.resolution)
        last = frame.name(pixels(growth(round(kimg * 1000))))
        print(
            f"kimg={kimg:g} ends this run at {last}: all of {frame.name(frame.size)} "
            f"is there after {growth.images_needed / 1000:g} kimg "
            "(model.growth.stable_kimg, fade_kimg)"
        )


def grow(system: Training, growth: Growth) -> None:
    """Bring the networks and the optimizers to the stage of the batch that is about to start."""
    stage = growth(system.images_seen)
    first = growing(system)[0]
    before = Stage(first.level, first.alpha)
    grow_to(system, stage)
    reached = stage.level - 1 + stage.alpha  # 0 = 4x4, 1 = 8x8, in between while it fades in
    system.running_means.add("growth/level", torch.tensor(reached, device=system.device))
    for optimizer in system.trainer.optimizers:
        if growth.reset_optimizers and phase(before) != phase(stage):
            optimizer.state.clear()
        set_rates(optimizer, growth.learning_rate(stage), system.rate_share)


def phase(stage: Stage) -> tuple[int, bool]:
    """Level, and whether it is still fading in: Karras' code resets Adam where either changes."""
    return stage.level, stage.alpha < 1
