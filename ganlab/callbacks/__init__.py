"""Observers of a training run: they watch the system and never steer it.

Each acts on the system's clock, so a run watched closely ends at the same weights as one that is
not watched at all, and a resumed run is watched as if it had never stopped.
"""

from ganlab.callbacks.health import Health
from ganlab.callbacks.metrics_log import MetricsLog
from ganlab.callbacks.overfitting import Overfitting
from ganlab.callbacks.progress import Progress
from ganlab.callbacks.reconstructions import Reconstructions
from ganlab.callbacks.rho import RhoHistogram
from ganlab.callbacks.samples import SampleGrid
from ganlab.callbacks.scales import Scales
from ganlab.callbacks.throughput import TIMING_COLUMNS, Throughput

__all__ = [
    "TIMING_COLUMNS",
    "Health",
    "MetricsLog",
    "Overfitting",
    "Progress",
    "Reconstructions",
    "RhoHistogram",
    "SampleGrid",
    "Scales",
    "Throughput",
]
