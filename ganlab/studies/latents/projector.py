"""Images into the latent space of a generator, by optimisation on features.

Karras et al. 2020 (arXiv:1912.04958), appendix D. Their distance is LPIPS, whose learned weights
are in no file of the house; here it is that of an extractor's features.

projector = Projector(Sampler(generator), Perceptual(extractor))
found = projector.project(images, range(len(images)))
found.codes, found.distances[:, -1]                    # (N, L, W) or (N, Z), and (N,)
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.features import Extractor
from ganlab.features.base import StagedExtractor
from ganlab.metrics.path_length import crop_and_shrink, unit_features
from ganlab.nn.randomness import keyed_generator
from ganlab.report.timeline import evenly_spaced
from ganlab.sampling import Sampler, batched, drawing, evaluating, full_size, has_styles

NUM_CENTRE = 10_000  # latents whose styles say where w begins and how far it spreads
BATCH = 250  # of those at a time
SMALLEST = 8  # px of the coarsest map of a noise pyramid
SPACES = ("z", "w", "w+")

Watched = Callable[[range], Iterable[int]]  # steps, under a progress bar


@dataclass(frozen=True)
class Schedule:
    """How fast an optimisation goes and how much noise w is given, by step.

    Raises:
        ValueError: no step, or a rate that is not above 0.
    """

    num_steps: int = 1000
    learning_rate: float = 0.1  # at most
    ramp_up: float = 0.05  # share of the steps in which it rises from 0
    ramp_down: float = 0.25  # share at the end in which it falls to 0
    noise: float = 0.05  # added to w at the beginning, in standard deviations of w
    noise_until: float = 0.75  # share of the steps with noise

    def __post_init__(self) -> None:
        if self.num_steps < 1 or not 0 < self.learning_rate < math.inf:
            raise ValueError(
                "study.num_steps must be at least 1 and study.learning_rate above 0, got "
                f"{self.num_steps} and {self.learning_rate}"
            )

    def rate(self, step: int) -> float:
        """Learning rate: a linear rise from 0, in the end half a cosine down to 0."""
        t = step / self.num_steps
        falling = min(1.0, (1 - t) / self.ramp_down)
        return (
            self.learning_rate * min(1.0, t / self.ramp_up) * (1 - math.cos(math.pi * falling)) / 2
        )

    def deviation(self, step: int) -> float:
        """0.05 t^2 of w~ = w + N(0, 0.05 sigma_w t^2), t from one to zero."""
        t = max(0.0, 1 - step / self.num_steps / self.noise_until)
        return self.noise * t**2


@dataclass(frozen=True, eq=False)
class Centre:
    """mu_w = E f(z), (1, W) or (L, W), and sigma_w with sigma_w^2 = E |f(z) - mu_w|^2; or of z."""

    mean: Tensor
    deviation: float

    @classmethod
    def of(cls, codes: Tensor) -> "Centre":
        """Of (M, L, W) styles or (M, 1, Z) latents; the square is a vector's, averaged over L."""
        mean = codes.double().mean(0)
        return cls(mean.to(codes), float((codes - mean).square().sum(-1).mean().sqrt()))


@dataclass(frozen=True, eq=False)
class Perceptual:
    """Distance of images in features: LPIPS without its learned weights (arXiv:1801.03924, eq. 1).

    Of an extractor with stages it is the sum over them, logits apart, of the squared differences of
    features scaled to length 1, averaged over space; of any other, of its features alone. Images
    above 256 px are averaged down first.
    """

    extractor: Extractor
    pixels: float = 0.0  # weight of the mean squared difference of pixels beside it

    def describe(self, images: Tensor) -> list[Tensor]:
        """What is compared of images (N, C, H, W): (N, d, ...) each, with their gradient."""
        shown = crop_and_shrink(images, crop=False)
        if isinstance(self.extractor, StagedExtractor):
            stages = list(self.extractor.stages(shown, differentiable=True).values())[:-1]
            found = [F.normalize(stage, dim=1) for stage in stages]
        else:
            found = [unit_features(self.extractor, shown)]
        return [*found, math.sqrt(self.pixels) * _per_colour(shown)] if self.pixels else found

    def compare(self, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        """Distances of described images, (N,)."""
        squared = [(a - b).square().sum(1) for a, b in zip(found, wanted, strict=True)]
        return torch.stack([each.reshape(len(each), -1).mean(1).float() for each in squared]).sum(0)


def _per_colour(images: Tensor) -> Tensor:
    """Scaled so that the sum over channels of squares is their mean."""
    return images / math.sqrt(images.shape[1])


def noise_penalty(planes: Iterable[Tensor]) -> Tensor:
    """Signal in noise maps (N, 1, R, R): sum of L_ij over maps and their pyramids, (N,).

    L_ij is the sum of the squares of the mean product of neighbours, one pixel to the side and one
    pixel down, edges wrapping round. A map above 8x8 is halved down to there, 2x2 pixels averaged
    and doubled, so that white noise keeps its variance.
    """
    found: list[Tensor] = []
    for plane in planes:
        while True:
            for side in (2, 3):
                found.append((plane * plane.roll(1, side)).mean((1, 2, 3)).square())
            if plane.shape[-1] <= SMALLEST:
                break
            plane = F.avg_pool2d(plane, 2) * 2
    return torch.stack(found).sum(0)


@torch.no_grad()
def normalize_noise(planes: Iterable[Tensor]) -> None:
    """Bring each map (N, 1, R, R) of each image to mean 0 and variance 1, in place."""
    for plane in planes:
        plane -= plane.mean((1, 2, 3), keepdim=True)
        plane *= plane.square().mean((1, 2, 3), keepdim=True).rsqrt()


@dataclass(frozen=True, eq=False)
class Projected:
    """What became of N images; everything is on the CPU."""

    codes: Tensor  # (N, L, W) styles, or (N, Z) latents
    images: Tensor  # (N, T + 1, C, H, W): after the steps shown, last under the layers' own noise
    distances: Tensor  # (N, S + 1) float32: of each step as optimised, then of the result
    own: Tensor  # (N,) float32: distances of the result under the layers' own noise


@dataclass(frozen=True, eq=False)
class Projector:
    """Optimises w, w+ or z, and the noise maps of its layers where there are any.

    Image i draws from (seed, its address), so that it comes out the same in any batch, up to
    rounding. Noise of other shapes than maps, and that of a generator without styles, stays.

    Raises:
        ValueError: a space that the generator does not have.
    """

    sampler: Sampler  # of the generator, and of what it is told at an address
    distance: Perceptual
    space: str = "w"  # w+ = a style of its own for each layer; z where there are no styles
    schedule: Schedule = field(default_factory=Schedule)
    noise_weight: float = 1e5  # alpha of L_total = L_image + alpha sum L_ij
    noise_maps: bool = True  # False = each layer's own

    def __post_init__(self) -> None:
        network = self.sampler.generator
        if self.space not in (SPACES[1:] if has_styles(network) else SPACES[:1]):
            there = "w and w+" if has_styles(network) else "z"
            raise ValueError(
                f"study.space={self.space}: {type(network).__module__} is projected into {there}"
            )
        if self.space == "w" and not self.same_in_layers:
            raise ValueError("study.space=w: each layer has a style of its own here; say w+")

    @cached_property
    def same_in_layers(self) -> bool:
        """Whether a latent's styles are the same in every layer."""
        styles = self.sampler.styles([0])  # (1, L, W)
        return torch.equal(styles, styles[:, :1].expand_as(styles))

    @cached_property
    def centre(self) -> Centre:
        """Of 10,000 latents; of a generator without styles, of the latents themselves."""
        network, found = self.sampler.generator, list[Tensor]()
        sampler = replace(self.sampler, batch_size=BATCH)
        for rows in batched(range(NUM_CENTRE), BATCH):
            if has_styles(network):
                layers = 1 if self.same_in_layers else network.num_styles
                found.append(sampler.styles(rows)[:, :layers].clone())
            else:
                found.append(sampler.latents(rows)[:, None])
        return Centre.of(torch.cat(found))

    @cached_property
    def noise_shapes(self) -> list[torch.Size]:
        """(1, R, R) of each noise map in the order in which layers ask for it; none = all stay."""
        network, asked = self.sampler.generator, list[torch.Size]()
        if not has_styles(network) or not self.noise_maps:
            return []

        def draw(shape: torch.Size) -> Tensor:  # (1, 1, R, R)
            asked.append(shape[1:])
            return torch.zeros(shape, device=self.sampler.place)

        with torch.no_grad(), drawing(network, draw):
            network.synthesize(self.begin([0]), noise="random")
        return asked if all(shape[-1] > 1 for shape in asked) else []

    def begin(self, addresses: Sequence[int]) -> Tensor:
        """The centre for each, (N, L, W), or (N, 1, Z) of latents."""
        rows = self.sampler.generator.num_styles if has_styles(self.sampler.generator) else 1
        mean = self.centre.mean.to(self.sampler.place)  # (1 or L, W)
        return mean.expand(len(addresses), rows, -1).clone()

    def project(
        self,
        images: Tensor,  # (N, C, H, W) in [-1, 1]
        addresses: Sequence[int],  # of their draws and, where a generator is told a class, of that
        shown: int = 6,  # steps whose images are kept, the first and the last among them
        watched: Watched = iter,
    ) -> Projected:
        """Find codes whose images resemble these."""
        place, num = self.sampler.place, self.schedule.num_steps
        sources = [keyed_generator("projection", self.sampler.seed, i) for i in addresses]
        kept, pictures, distances = shown_steps(num, shown), list[Tensor](), list[Tensor]()
        with evaluating(self.sampler.generator), torch.no_grad():
            codes = self.begin(addresses)
            codes = codes[:, :1].clone() if self.space == "w" else codes
            planes = [
                normal_noise(shape, sources).to(place) for shape in self.noise_shapes
            ]  # N(0, I)
            descent = Descent(
                self, addresses, self.distance.describe(images.to(place)), codes, planes
            )
            for step in watched(range(num)):
                if step in kept:
                    pictures.append(descent.paint(codes).cpu())
                spread = self.centre.deviation * self.schedule.deviation(step)
                moved = spread * normal_noise(codes.shape[1:], sources).to(place)
                distances.append(descent.step(self.schedule.rate(step), moved))
            made, styles = descent.paint(codes), self.full(codes.detach())
            own = self.sampler.paint(styles, addresses)
            distances += [descent.apart(made), descent.apart(own.to(place))]
        strip = torch.stack([*pictures, made.cpu(), own], 1)
        *steps, beside = torch.stack(distances).cpu()
        return Projected(styles, strip, torch.stack(steps, 1), beside)

    def full(self, codes: Tensor) -> Tensor:
        """Styles of all layers, (N, L, W), or latents, (N, Z), on the CPU."""
        network = self.sampler.generator
        if has_styles(network):
            return codes.expand(-1, network.num_styles, -1).cpu().clone()
        return codes[:, 0].cpu()


class Descent:
    """One batch being optimised, in place."""

    def __init__(
        self,
        projector: Projector,
        addresses: Sequence[int],
        wanted: Sequence[Tensor],  # the images, described
        codes: Tensor,  # (N, 1 or L, W), or (N, 1, Z)
        planes: Sequence[Tensor],  # (N, 1, R, R) each
    ) -> None:
        self.projector, self.addresses, self.wanted = projector, addresses, wanted
        self.codes, self.planes = codes.requires_grad_(), [p.requires_grad_() for p in planes]
        self.optimizer = torch.optim.Adam([codes, *planes])

    def step(self, rate: float, moved: Tensor) -> Tensor:
        """One step down from the codes moved by noise; the distances there, (N,)."""
        with torch.enable_grad():
            apart = self.apart(self.paint(self.codes + moved))
            loss = apart.sum()
            if self.planes:
                loss = loss + self.projector.noise_weight * noise_penalty(self.planes).sum()
            self.optimizer.zero_grad()
            loss.backward(inputs=[self.codes, *self.planes])
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        normalize_noise(self.planes)
        network = self.projector.sampler.generator
        if not has_styles(network) and network.prior == "uniform":
            self.codes.clamp_(-1, 1)  # where its latents are from
        return apart.detach()

    def apart(self, images: Tensor) -> Tensor:
        """Distances of images from those wanted, (N,)."""
        distance = self.projector.distance
        return distance.compare(distance.describe(images), self.wanted)

    def paint(self, codes: Tensor) -> Tensor:
        """Images of codes under the noise maps as they are now, (N, C, H, W)."""
        sampler = self.projector.sampler
        network = sampler.generator
        if has_styles(network):
            styles, planes = codes.expand(-1, network.num_styles, -1), iter(self.planes)
            noise = drawing(network, lambda _: next(planes)) if self.planes else nullcontext()
            with noise:
                images = network.synthesize(styles, "random" if self.planes else "const")
        else:
            images = network(codes[:, 0], sampler.condition(self.addresses))
        return full_size(images, network)


def shown_steps(num_steps: int, shown: int) -> list[int]:
    """The steps whose images are kept: how many were done before; the last one is the result."""
    return list(evenly_spaced(range(num_steps + 1), shown))


def normal_noise(shape: Sequence[int], sources: Sequence[torch.Generator]) -> Tensor:
    """N(0, 1) numbers of this shape from each source, (N, ...) on the CPU."""
    return torch.stack([torch.randn(*shape, generator=source) for source in sources])
