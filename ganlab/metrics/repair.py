"""Repaired, or replaced? Features of images with and without some neurons, compared.

A score against reals may improve although every image became the same pleasant one. What was
repaired lies near its original, differs from the other results as the originals differed, and can
be told from them; what was replaced by one image for all does not.

    before = features_of(sampler.batches(indices), extractor)              # (N, d)
    after = features_of(sampler.batches(indices, edits), extractor)
    repair(before, after)
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganlab.nn.tracing import edited

ROWS = 1024  # images whose distances to all others are held at once


@dataclass(frozen=True)
class Repair:
    """What an intervention did to a set of images, in an extractor's feature space."""

    distance: float  # mean distance of an image to itself before
    spread: float  # root mean square distance of the images to their mean
    spread_before: float  # the same before the intervention
    recognized: float  # share of images whose nearest image before is their own, in [0, 1]

    @property
    def spread_kept(self) -> float:
        """Spread per spread before: near 1 after a repair, 0 where all became one image."""
        return self.spread / self.spread_before if self.spread_before else float("nan")

    @property
    def apart(self) -> float:
        """Root mean square distance of two independent images before: the scale of `distance`."""
        return float(2**0.5 * self.spread_before)


def spread(features: Tensor) -> float:
    """Root mean square distance of (N, d) features to their mean; 0 where all are equal."""
    features = features.double()
    return float((features - features.mean(0)).square().sum(1).mean().sqrt())


def recognition_rate(before: Tensor, after: Tensor) -> float:
    """Share of rows of `after` whose nearest row of `before` is the one of their own index.

    Both (N, d). Where the own row is as near as another it counts, so equal sets give 1.
    """
    found = 0
    for start in range(0, len(after), ROWS):
        rows = after[start : start + ROWS].double()
        distances = torch.cdist(rows, before.double(), compute_mode="donot_use_mm_for_euclid_dist")
        own = distances.diagonal(start)
        found += int((own <= distances.min(1).values).sum())
    return found / len(after)


def repair(before: Tensor, after: Tensor) -> Repair:
    """Compare (N, d) features of the same latents before and after an intervention.

    Raises:
        ValueError: sets of different shapes, empty ones, or features that are not finite.
    """
    if before.shape != after.shape or not len(before):
        raise ValueError(
            f"features of the same images are compared: {tuple(before.shape)} before, "
            f"{tuple(after.shape)} after"
        )
    if not (before.isfinite().all() and after.isfinite().all()):
        raise ValueError("features of the compared images are not finite")
    distance = (after.double() - before.double()).norm(dim=1).mean()
    return Repair(float(distance), spread(after), spread(before), recognition_rate(before, after))


@contextmanager
def tap_features(extractor: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that gets the features, (N, d), of every pass of an extractor: scores and
    repair are measured in one pass."""
    taken: list[Tensor] = []

    def keep(output: dict[str, Tensor]) -> dict[str, Tensor]:
        taken.append(output["features"])
        return output

    with edited({"extractor": extractor}, {"extractor": keep}):  # type: ignore[dict-item]
        yield taken


@torch.no_grad()
def features_of(images: Iterable[Tensor], extractor: nn.Module) -> Tensor:
    """Features of batches of images in [-1, 1], (N, d) on the extractor's device."""
    return torch.cat([extractor(batch)["features"] for batch in images])
