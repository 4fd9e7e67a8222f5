"""What a discriminator sees of its images: changed at random, reals and fakes alike.

A generator learns reals from it, and not their changes, as long as each image may also stay as it
is often enough (Karras et al. 2020, arXiv:2006.06676, section 2.2).
"""

from collections.abc import Callable, Mapping
from math import pi
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganlab.losses.penalties import scales
from ganlab.networks.base import Condition, Discriminator, Images
from ganlab.nn import augment as changes
from ganlab.nn.precision import to_single
from ganlab.nn.ranks import mean_over_ranks
from ganlab.nn.transfer import to_device
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.running_means import RunningMeans

KEY = "model.augment"


class Judged(Protocol):
    """What an augmentation must know of a loss."""

    boundary: float | None  # logit between fake and real; None = a single logit says neither


class Augmentation:
    """Changes images at random before a discriminator sees them; this one leaves them.

    All draws of a step are those of (seed, images_seen, purpose) for the global batch. One sample
    has one draw at all scales of a list, whose last is the finest.
    """

    def check(self, loss: Judged, discriminator: Discriminator) -> None:
        """Refuse what cannot be trained so.

        Raises:
            ValueError: names the key.
        """
        if not discriminator.augments:
            raise ValueError(
                f"{KEY}: fakes of {type(discriminator).__module__} are painted on parts of reals, "
                "and its discriminator cannot be shown changed ones: model/augment=none"
            )

    def __call__(self, images: Images, randomness: StepRandomness, purpose: str) -> Images:
        """Images as they are shown for a purpose: `real`, `fake`, .."""
        # half of single precision would move pixels elsewhere
        shown = self.changed(list(map(to_single, scales(images))), randomness, purpose)
        return shown if isinstance(images, list) else shown[0]

    def changed(self, scales: list[Tensor], draws: StepRandomness, purpose: str) -> list[Tensor]:
        """The same, of a list in single precision at least."""
        return scales

    def note(self, logits: Tensor) -> None:
        """See the logits of reals, (N,) or (N, K)."""

    def anneal(self, share: float) -> None:
        """Begin a batch at this share of the probability that is fixed, if one is."""

    def advance(self, images_seen: int, steps: int, tally: RunningMeans) -> None:
        """End a step, after which so many images were seen and so many steps taken."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know of this process."""
        return {}

    def load_state_dict(
        self, state: Mapping[str, Any], images_seen: int, device: torch.device
    ) -> None:
        """Take it back after so many images; none of it where another augmentation was before."""


class Shown(nn.Module):
    """A discriminator with its augmentation before it, for one purpose of one step."""

    def __init__(
        self,
        discriminator: nn.Module,
        augmentation: Augmentation,
        randomness: StepRandomness,
        purpose: str,
    ) -> None:
        super().__init__()
        self.discriminator, self.augmentation = discriminator, augmentation
        self.randomness, self.purpose = randomness, purpose

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Logits of changed images; the gradient by the images is that by the unchanged ones."""
        first = images[0] if isinstance(images, list) else images
        with torch.autocast(first.device.type, enabled=False):
            images = self.augmentation(images, self.randomness, self.purpose)
        logits: Tensor = self.discriminator(images, condition)
        return logits


class DiffAugment(Augmentation):
    """Zhao et al. 2020 (arXiv:2006.10738), section 4, with the strengths of the authors' code.

    Every image is changed. Saturation is of images with 3 channels.

    Raises:
        ValueError: a share outside [0, 1]; names the key.
    """

    def __init__(
        self,
        color: bool = True,  # brightness, saturation and contrast
        translation: float = 0.125,  # farthest move, a share of the sides; 0.0 = none
        cutout: float = 0.5,  # sides of the hole, a share of the image's; 0.0 = none
    ) -> None:
        for name, share in (("translation", translation), ("cutout", cutout)):
            if not 0 <= share <= 1:
                raise ValueError(f"{KEY}.{name} must be from 0.0 to 1.0, got {share}")
        self.color, self.translation, self.cutout = color, translation, cutout

    def changed(self, scales: list[Tensor], draws: StepRandomness, purpose: str) -> list[Tensor]:
        """Colour, then translation, then cutout."""
        numbers = draws.masks("augment", purpose)((len(scales[0]), 7)).to(scales[0])
        if self.color:
            scales = [jitter_colours(images, numbers[:, :3]) for images in scales]
        if self.translation:
            shift = self.shift(numbers[:, 3:5], scales[-1])
            scales = [changes.shift_pixels(images, shift) for images in scales]
        if self.cutout:
            scales = [changes.cut(images, numbers[:, 5:], self.cutout) for images in scales]
        return scales

    def shift(self, numbers: Tensor, finest: Tensor) -> Tensor:
        """(N, 2) shares of the sides: whole pixels of the finest scale, as likely each."""
        height, width = finest.shape[2:]
        sides = to_device(torch.tensor([width, height]), numbers.device).to(numbers)
        farthest = torch.floor(sides * self.translation + 0.5)
        return (torch.floor(numbers * (2 * farthest + 1)) - farthest) / sides


def jitter_colours(images: Tensor, numbers: Tensor) -> Tensor:
    """Brightness within 1/2, saturation to 2, contrast from 1/2 to 3/2, by (N, 3) in [0, 1)."""
    bright, vivid, strong = numbers[:, :, None, None].unbind(1)
    images = images + (bright - 0.5)[:, None]
    if images.shape[1] == 3:
        images = changes.spread(images, 2 * vivid.flatten(), (1,))
    return changes.spread(images, strong.flatten() + 0.5, (1, 2, 3))


class Chances:
    """The numbers of a batch's samples, one change after the other: on or off, and how much.

    Each change takes its own whether it is on or not, so that the others' stay theirs.
    """

    def __init__(self, draws: StepRandomness, purpose: str, like: Tensor, p: Tensor) -> None:
        self.p, self.like = p, like
        self.any = torch.zeros(len(like), dtype=torch.bool, device=p.device)
        self._uniform = draws.masks("augment", purpose)
        self._normal = draws.normal("augment", purpose, "normal")

    def _drawn(self, source: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        return source((len(self.like),)).to(self.like)

    def on(self, wanted: bool, p: Tensor | None = None) -> Tensor:
        """(N,) bool: whose turn it is."""
        chosen = (self._uniform((len(self.like),)) < (self.p if p is None else p)) & wanted
        self.any = self.any | chosen
        return chosen

    def uniform(self, on: Tensor, most: float) -> Tensor:
        """(N,) within plus and minus `most`; 0 where it is off."""
        return torch.where(on, (2 * self._drawn(self._uniform) - 1) * most, 0.0)

    def count(self, on: Tensor, below: int) -> Tensor:
        """(N,) whole numbers from 0; 0 where it is off."""
        return torch.where(on, torch.floor(self._drawn(self._uniform) * below), 0.0)

    def normal(self, on: Tensor, deviation: float) -> Tensor:
        """(N,) of the normal distribution; 0 where it is off."""
        return torch.where(on, self._drawn(self._normal) * deviation, 0.0)


class ADA(Augmentation):
    """Adaptive augmentation: the pipeline `bgc`, each change of which has probability p.

    Karras et al. 2020 (arXiv:2006.06676), sections 2.2 and 3.1, appendix B; strengths as there. p
    rises where reals are told from fakes too surely, r_t = E sign(D(real) - boundary) above
    `target`, and falls below it, by 1 in `ada_kimg`; it stays within [0, 1]. Hue, saturation and
    the flip of luma need colours: of one channel the last is left, of another number than 3 and 1
    none.

    Raises:
        ValueError: a number that cannot be; at `check` a loss without a boundary and no p either.
    """

    def __init__(
        self,
        p: float | None = None,  # fixed probability of each change; None = adapted, from 0
        target: float = 0.6,  # r_t that p is adapted to
        ada_kimg: float = 500.0,  # thousands of images in which p goes from 0 to 1
        interval: int = 4,  # steps from one adaptation to the next
        xflip: bool = True,  # left and right exchanged
        rotate90: bool = True,  # quarter turns
        xint: bool = True,  # moved by whole pixels
        scale: bool = True,  # larger or smaller
        rotate: bool = True,  # turned by any angle
        aniso: bool = True,  # stretched
        xfrac: bool = True,  # moved by parts of pixels
        brightness: bool = True,
        contrast: bool = True,
        lumaflip: bool = True,  # light and dark exchanged
        hue: bool = True,
        saturation: bool = True,
    ) -> None:
        if p is not None and not 0 <= p <= 1:
            raise ValueError(f"{KEY}.p must be from 0.0 to 1.0, or null, got {p}")
        if not -1 < target < 1:
            raise ValueError(f"{KEY}.target must be above -1.0 and below 1.0, got {target}")
        if ada_kimg <= 0 or interval < 1:
            raise ValueError(f"{KEY}.ada_kimg must be above 0, and {KEY}.interval at least 1")
        self.adapts, self.fixed, self.p = p is None, p or 0.0, torch.tensor(p or 0.0)
        self.target, self.ada_kimg, self.interval = target, ada_kimg, interval
        self.boundary: float | None = None  # of the loss
        self.signs = torch.zeros(2)  # sum and number since the last adaptation
        self.adapted_at = 0  # images seen by then
        self.xflip, self.rotate90, self.xint = xflip, rotate90, xint
        self.scale, self.rotate, self.aniso, self.xfrac = scale, rotate, aniso, xfrac
        self.brightness, self.contrast, self.lumaflip = brightness, contrast, lumaflip
        self.hue, self.saturation = hue, saturation

    def check(self, loss: Judged, discriminator: Discriminator) -> None:
        """Refuse to adapt where the sign of a logit says nothing."""
        super().check(loss, discriminator)
        self.boundary = loss.boundary
        if self.adapts and self.boundary is None:
            raise ValueError(
                f"{KEY}.p=null adapts p by the signs of D's logits, and with model.loss="
                f"{type(loss).__name__} a logit's level says nothing: fix it, as in {KEY}.p=0.3"
            )

    def changed(self, scales: list[Tensor], draws: StepRandomness, purpose: str) -> list[Tensor]:
        """Pixels moved, then places, then colours, each by one draw for all scales."""
        self.p = to_device(self.p, scales[0].device)
        like = scales[-1][:, 0, 0, 0]
        chances = Chances(draws, purpose, like, self.p)
        scales = self.blitted(scales, chances)
        scales = self.warped(scales, chances)
        return self.recoloured(scales, chances)

    def blitted(self, scales: list[Tensor], chances: Chances) -> list[Tensor]:
        """Appendix B, pixel blitting."""
        flip = chances.count(chances.on(self.xflip), 2) > 0
        turns = chances.count(chances.on(self.rotate90), 4).long()
        moved = chances.on(self.xint)
        shift = torch.stack([chances.uniform(moved, 0.125) for _ in range(2)], dim=1)
        return [changes.blit(images, flip, turns, shift) for images in scales]

    def warped(self, scales: list[Tensor], chances: Chances) -> list[Tensor]:
        """Appendix B, general geometric transformations; `inverse` undoes the last one first."""
        if not (self.scale or self.rotate or self.aniso or self.xfrac):
            return scales
        height, width = scales[-1].shape[2:]
        chances.any = torch.zeros_like(chances.any)
        size = torch.exp2(-chances.normal(chances.on(self.scale), 0.2))
        half = 1 - torch.sqrt(1 - chances.p)  # so that one of two turns comes with p
        before = chances.uniform(chances.on(self.rotate, half), pi)
        stretch = torch.exp2(-chances.normal(chances.on(self.aniso), 0.2))
        after = chances.uniform(chances.on(self.rotate, half), pi)
        moved = chances.on(self.xfrac)
        across, down = (chances.normal(moved, 0.125) for _ in range(2))
        inverse = changes.scaling(size, size) @ changes.rotation(before)
        inverse = inverse @ changes.scaling(stretch, 1 / stretch) @ changes.rotation(after)
        inverse = inverse @ changes.translation(-across, -down * height / width)
        warped = [changes.warp(images, inverse) for images in scales]
        return self.where(chances.any, warped, scales)

    def recoloured(self, scales: list[Tensor], chances: Chances) -> list[Tensor]:
        """Appendix B, colour transformations."""
        if not (self.brightness or self.contrast or self.lumaflip or self.hue or self.saturation):
            return scales
        channels = scales[-1].shape[1]
        chances.any = torch.zeros_like(chances.any)
        matrix = changes.brightness(chances.normal(chances.on(self.brightness), 0.2))
        factor = torch.exp2(chances.normal(chances.on(self.contrast), 0.5))
        matrix = changes.contrast(factor) @ matrix
        lumaflip = chances.count(chances.on(self.lumaflip and channels in (1, 3)), 2)
        matrix = changes.luma_flip(lumaflip) @ matrix
        angle = chances.uniform(chances.on(self.hue and channels == 3), pi)
        matrix = changes.hue(angle) @ matrix
        factor = torch.exp2(chances.normal(chances.on(self.saturation and channels == 3), 1.0))
        matrix = changes.saturation(factor) @ matrix
        recoloured = [changes.recolour(images, matrix) for images in scales]
        return self.where(chances.any, recoloured, scales)

    def where(self, some: Tensor, new: list[Tensor], old: list[Tensor]) -> list[Tensor]:
        """The new images of some samples; the others' are theirs to the bit."""
        chosen = some[:, None, None, None]
        return [torch.where(chosen, *pair) for pair in zip(new, old, strict=True)]

    def note(self, logits: Tensor) -> None:
        """Add the signs of a part of the batch."""
        if self.boundary is not None:
            signs = torch.sign(logits.detach().float() - self.boundary)
            number = signs.new_full((), float(signs.numel()))
            self.signs = to_device(self.signs, signs.device) + torch.stack([signs.sum(), number])

    def anneal(self, share: float) -> None:
        """Of a fixed p."""
        if not self.adapts:
            self.p = torch.full_like(self.p, share * self.fixed)

    def advance(self, images_seen: int, steps: int, tally: RunningMeans) -> None:
        """Adapt p every `interval` steps, by the images seen since, and tally it and r_t."""
        if steps % self.interval == 0 and self.boundary is not None:
            total, number = mean_over_ranks(self.signs)
            r_t = total / number
            if self.adapts:  # the authors' code: p + sign(r_t - target) * images / ada_images
                change = (images_seen - self.adapted_at) / (1000 * self.ada_kimg)
                p = to_device(self.p, r_t.device) + torch.sign(r_t - self.target) * change
                self.p = p.clamp(0, 1)
            self.signs, self.adapted_at = torch.zeros_like(self.signs), images_seen
            tally.add("augment/r_t", r_t)
        tally.add("augment/p", self.p)

    def state_dict(self) -> dict[str, Any]:
        """p, the signs since it was adapted, and when that was."""
        return {"p": self.p, "signs": self.signs, "adapted_at": self.adapted_at}

    def load_state_dict(
        self, state: Mapping[str, Any], images_seen: int, device: torch.device
    ) -> None:
        """Take them back; a fixed p is the config's."""
        if not {"p", "signs", "adapted_at"} <= state.keys():
            self.adapted_at = images_seen
            return
        if self.adapts:
            self.p = state["p"].to(device)
        self.signs, self.adapted_at = state["signs"].to(device), state["adapted_at"]
