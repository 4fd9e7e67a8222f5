"""Scores of generated images and rates of neurons, as torchmetrics Metrics.

| part | what it is |
|---|---|
| `Suite` | one feature pass for all scores, their names and records |
| `FrechetDistance` | FID, float64 |
| `KernelDistance` | KID, unbiased, over keyed subsets |
| `FrechetInfinity` | FID without the bias of a finite number of generated images |
| `PrecisionRecall` | improved precision and recall by k nearest neighbours |
| `DensityCoverage` | their successors, robust to outliers |
| `ClippedDensityCoverage` | theirs, which read as shares of good images |
| `MongeDistance` | MIND, the sliced Wasserstein distance of features |
| `Rarity`, `rarity_scores` | how unusual each generated image is among the reals |
| `Realism`, `realism_scores` | how far inside the reals each generated image lies |
| `InceptionScore` | sure and varied classes, in splits |
| `SlicedWasserstein` | patches at each scale of the images, ProGAN's score |
| `MultiScaleSimilarity` | how alike generated images are, ProGAN's other score |
| `ParzenWindow` | log-likelihood of reals under windows on generated images |
| `NearestReals`, `nearest` | nearest training neighbours: does the generator copy? |
| `ActivationRate`, `wilson_interval` | how often each neuron is active, and how sure that is |
| `NearZero` | on how many latents rounding could decide whether a neuron is active |
| `RealCache`, `real_key` | statistics of reals kept in a file |
| `Score`, `StoredFeatures` | what a new score derives from: one class here, one line in a yaml |
"""

from ganlab.metrics.activation_rate import ActivationRate, NearZero, wilson_interval
from ganlab.metrics.cache import RealCache, real_key
from ganlab.metrics.clipped import ClippedDensityCoverage
from ganlab.metrics.density_coverage import DensityCoverage, density_coverage
from ganlab.metrics.frechet import FrechetDistance, frechet_distance
from ganlab.metrics.frechet_infinity import FrechetInfinity
from ganlab.metrics.inception_score import InceptionScore, inception_scores
from ganlab.metrics.kernel import KernelDistance, kernel_distances
from ganlab.metrics.memorization import NearestReals, nearest_ratio
from ganlab.metrics.monge import MongeDistance
from ganlab.metrics.neighbours import nearest
from ganlab.metrics.parzen import ParzenWindow
from ganlab.metrics.precision_recall import PrecisionRecall, precision_recall
from ganlab.metrics.rarity import Rarity, rarity_scores
from ganlab.metrics.realism import Realism, realism_scores
from ganlab.metrics.score import Score, StoredFeatures
from ganlab.metrics.similarity import MultiScaleSimilarity
from ganlab.metrics.sliced_wasserstein import SlicedWasserstein
from ganlab.metrics.suite import Record, Suite

__all__ = [
    "ActivationRate",
    "ClippedDensityCoverage",
    "DensityCoverage",
    "FrechetDistance",
    "FrechetInfinity",
    "InceptionScore",
    "KernelDistance",
    "MongeDistance",
    "MultiScaleSimilarity",
    "NearZero",
    "NearestReals",
    "ParzenWindow",
    "PrecisionRecall",
    "Rarity",
    "RealCache",
    "Realism",
    "Record",
    "Score",
    "SlicedWasserstein",
    "StoredFeatures",
    "Suite",
    "density_coverage",
    "frechet_distance",
    "inception_scores",
    "kernel_distances",
    "nearest",
    "nearest_ratio",
    "precision_recall",
    "rarity_scores",
    "real_key",
    "realism_scores",
    "wilson_interval",
]
