"""Where a run's numbers go: `metrics.csv` always, trackers besides it if asked.

The file in the run's folder is the truth; a tracker is a guest, and what happens to it never
happens to the run. Every row's step is `images_seen`. A tracker's package is imported when a run
starts it.
"""

from ganlab.loggers.guarded import Guarded
from ganlab.loggers.metrics_csv import CSVLog
from ganlab.loggers.mlflow import MLflowTracker, mlflow_tracker
from ganlab.loggers.score_tables import show_scores
from ganlab.loggers.tensorboard import TensorBoardTracker, tensorboard_tracker
from ganlab.loggers.tracker import Tracker, trackers_of
from ganlab.loggers.trackio import TrackioTracker, trackio_tracker
from ganlab.loggers.wandb import WandbTracker, finish, wandb_tracker

__all__ = [
    "CSVLog",
    "Guarded",
    "MLflowTracker",
    "TensorBoardTracker",
    "Tracker",
    "TrackioTracker",
    "WandbTracker",
    "finish",
    "mlflow_tracker",
    "show_scores",
    "tensorboard_tracker",
    "trackers_of",
    "trackio_tracker",
    "wandb_tracker",
]
