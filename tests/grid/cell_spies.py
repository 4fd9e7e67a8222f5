"""Callbacks for `allow_targets=[cell_spies]`: they fail once, are killed once, or take notes."""

import atexit
import json
import os
import random
import resource
import signal
import sys
from functools import wraps
from pathlib import Path
from typing import ClassVar

import torch
from lightning import Callback

from ganlab.data import synthetic
from ganlab.loggers import Guarded, Tracker
from ganlab.metrics import cache
from ganlab.runs.provenance import config_hash, origin
from ganlab.studies import Samples


class Accidents(Callback):
    """Meets with an accident once `images` were seen, in two cells, on their first attempt."""

    def __init__(self, directory: str, marks: str, images: int, raising: str, killed: str):
        self.name, self.marks, self.images = Path(directory).name, Path(marks), images
        self.raising, self.killed = raising, killed

    def on_train_start(self, trainer, pl_module):
        """Leave a line for every attempt: where it began."""
        with (self.marks / "attempts.txt").open("a") as file:
            file.write(f"{self.name} {pl_module.images_seen}\n")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_seen < self.images or self.name not in (self.raising, self.killed):
            return
        mark = self.marks / f"{self.name}.mark"
        if mark.exists():
            return
        mark.touch()
        if self.name == self.raising:
            raise RuntimeError("out of luck")
        os.kill(os.getpid(), signal.SIGKILL)


class Broken(Tracker):
    """A tracker whose every call raises."""

    def __getattribute__(self, name):
        if name.startswith("_") or name in ("Broken",):
            return super().__getattribute__(name)
        raise ConnectionError(f"no {name} today")

    name = version = None

    def log_metrics(self, metrics, step=None):
        """Never reached."""

    def log_hyperparams(self, params):
        """Never reached."""

    def log_images(self, key, images, step):
        """Never reached."""

    def log_table(self, key, columns, rows):
        """Never reached."""

    def finish(self, exit_code=0):
        """Never reached."""


class Fragile(Guarded):
    """`Guarded` that tries again at every call, so that each of them raises."""

    attempts: ClassVar[list[str]] = []

    def _pass_on(self, method, *args, **options):
        self.failed = False
        self.attempts.append(method)
        super()._pass_on(method, *args, **options)


def broken_tracker() -> Fragile:
    """The target for `+logger.broken._target_=`."""
    return Fragile(Broken())


class Stopped(Samples):
    """A study that is told to stop by SIGTERM on its first attempt."""

    def run(self, bench):
        mark = bench.directory.parents[1] / "stopped"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return super().run(bench)


class Ranks(Callback):
    """Each rank notes what it was started with."""

    def __init__(self, directory: str):
        self.directory = Path(directory)

    def on_train_start(self, trainer, pl_module):
        facts = [config_hash(pl_module.recipe), os.environ["GANLAB_CELL"], *sys.argv[1:]]
        facts += [str(origin().cell)]
        path = self.directory / f"rank-{trainer.global_rank}-of-{trainer.world_size}.txt"
        path.write_text("\n".join(facts))


class Process(Callback):
    """Each cell notes where it came from, and at its end the processor time it took."""

    def __init__(self, directory: str):
        self.path = Path(directory) / "process.json"

    def on_train_start(self, trainer, pl_module):
        facts = {"parent": os.getppid(), "pid": os.getpid(), "session": os.getsid(0)}
        facts |= {"threads": torch.get_num_threads(), "random": random.random()}
        facts |= {"set": os.environ["OMP_NUM_THREADS"], "cell": os.environ.get("GANLAB_CELL")}
        atexit.register(self.end, facts)

    def end(self, facts):
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.path.write_text(json.dumps(facts | {"cpu": used.ru_utime + used.ru_stime}))


@wraps(synthetic)
def counted(**options):
    """Passes over all images and readings of statistics each leave a line in $MARKS."""

    def noting(function, word, counts=lambda: True):
        def noted(*args, **given):
            if counts():
                with Path(os.environ["MARKS"]).open("a") as file:
                    file.write(f"{word}\n")
            return function(*args, **given)

        return noted

    data = synthetic(**options)
    data.test_dataloader = noting(data.test_dataloader, "pass", lambda: data.num_eval is None)
    for word in ("read", "map"):
        setattr(cache, f"{word}_archive", noting(getattr(cache, f"{word}_archive"), word))
    return data
