"""Scores of generated images and rates of neurons, as torchmetrics Metrics.

| part | what it is |
|---|---|
| `Suite` | one feature pass for all scores, their names and records |
| `FrechetDistance` | FID, float64 |
| `KernelDistance` | KID, unbiased, over keyed subsets |
| `PrecisionRecall` | improved precision and recall by k nearest neighbours |
| `ActivationRate`, `wilson_interval` | how often each neuron is active, and how sure that is |
| `RealCache`, `real_key` | statistics of reals kept in a file |
| `Score`, `StoredFeatures` | what a new score derives from: one class here, one line in a yaml |
"""

from ganlab.metrics.activation_rate import ActivationRate, wilson_interval
from ganlab.metrics.cache import RealCache, real_key
from ganlab.metrics.frechet import FrechetDistance, frechet_distance
from ganlab.metrics.kernel import KernelDistance, kernel_distances
from ganlab.metrics.precision_recall import PrecisionRecall, precision_recall
from ganlab.metrics.score import Score, StoredFeatures
from ganlab.metrics.suite import Record, Suite

__all__ = [
    "ActivationRate",
    "FrechetDistance",
    "KernelDistance",
    "PrecisionRecall",
    "RealCache",
    "Record",
    "Score",
    "StoredFeatures",
    "Suite",
    "frechet_distance",
    "kernel_distances",
    "precision_recall",
    "real_key",
    "wilson_interval",
]
