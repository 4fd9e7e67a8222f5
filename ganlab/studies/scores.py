"""Scores of the averaged generator: on a clock while it trains, and once over a test pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from ganlab.metrics import Suite
from ganlab.nn.growing import growth_state
from ganlab.nn.ranks import share
from ganlab.report.directions import way_of
from ganlab.scoring.directions import better, refuse_unknown
from ganlab.scoring.scoring import isolate_random_state, score_table
from ganlab.studies.bench import Bench
from ganlab.studies.classes import Class
from ganlab.studies.findings import Findings
from ganlab.studies.question import Question
from ganlab.studies.study import Study
from ganlab.systems.clock import crossed
from ganlab.systems.divergence import watch
from ganlab.systems.scorer import Scoring
from ganlab.systems.training import Training


@dataclass(frozen=True, kw_only=True)
class Scored(Question):
    """`study=scores`: the plain generator, scored by the suite."""

    def run(self, bench: Bench) -> Findings:
        """The table of scores; `result` is metric -> value."""
        tables = {"table": score_table(bench.records)} if bench.records else {}
        return Findings(tables=tables, result=bench.baseline)


class Scores(Study):
    """Feeds one suite with real images and with images of addressed latents.

    Training: `latest`, `best` and `improved` speak of the newest scoring; a checkpoint callback
    reads `improved` in the same batch. Every scoring replaces `records`. Test: the pass over the
    data fills the real statistics, its end scores the plain generator and writes the table.

    Raises:
        ValueError: fewer images in the data than the protocol compares, no side that is held out,
            or an unknown `monitor`.
    """

    def __init__(
        self,
        suite: Suite | None = None,  # extractor and metrics; None = score nothing
        seed: int = 0,  # of the latents, which are its addresses 0 .. num_fake-1
        batch_size: int = 100,  # images generated at a time; changes no score beyond rounding
        every_kimg: float | None = None,  # score each time training crosses this; None = at its end
        monitor: str | None = None,  # metric that decides the best; None = the first FID
        directory: str | Path | None = None,  # where the table goes; None = write nothing
        cache: str | Path | None = None,  # folder of real statistics; None = the user's cache
        label: Class | None = None,  # class that every image is told
        labels: Sequence[Class] | Class | None = None,  # several, told in turn by address
        unseen: bool = False,  # reals are those of the side of the data that is not trained on
    ) -> None:
        options: dict[str, Any] = {"suite": suite, "seed": seed, "batch_size": batch_size}
        options |= {"label": label, "labels": labels}
        options |= {"monitor": monitor, "directory": directory, "cache": cache}
        super().__init__(Scored(**options), unseen)
        self.every_images = None if every_kimg is None else round(every_kimg * 1000)
        if self.every_images is not None and self.every_images < 1:
            raise ValueError(f"every_kimg must be above 0, got {every_kimg}")
        self.monitor = monitor
        self.latest: dict[str, float] = {}  # metric -> value at the newest scoring
        self.best: float | None = None  # best value of `monitor` so far
        self.size: str | None = None  # of the images the best is of, while they grow
        self.improved = False  # whether the scoring in this very batch set a new best
        self.scored_at: int | None = None  # images_seen at the newest scoring in training

    @property
    def state_key(self) -> str:
        """As checkpoints name its state."""
        return type(self).__qualname__

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse in the first second what would fail after an hour."""
        suite, asked = self.scoring.suite, self.scoring.asked
        super().setup(trainer, pl_module, stage)  # the names are those of as many as there are
        if suite is not None and stage == "fit" and asked is not None:
            refuse_unknown(asked, suite)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Score where the clock crossed a multiple of `every_kimg`."""
        self.improved = False
        before, now, every = pl_module.images_before, pl_module.images_seen, self.every_images
        if every is not None and crossed(before, now, every):
            self.score_training(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score the final generator, unless it just was or the run stopped before its length."""
        self.improved = False
        if pl_module.complete and self.scored_at != pl_module.images_seen:
            self.score_training(trainer, pl_module)

    def score_training(self, trainer: Trainer, system: Training) -> None:
        """Score the averaged generator as it is now, log the values and update the best."""
        if self.scoring.reals is None:
            return
        with isolate_random_state(self.question.seed):
            self.scoring.reals.fill(trainer, system.device)
            share(system.generator_ema.buffers())  # batch norm's are of a rank's own images
            values = self.score(trainer, system, "scoring")
        self.scored_at, self.scoring.records = system.images_seen, []
        self.bench(trainer, system).record(values)
        self.begin_size(growth_state(system.generator_ema))
        self.judge(values, eligible=not watch(trainer, system, system.running_means.read()))
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=system.images_seen)

    @property
    def newest(self) -> Scoring | None:
        """The monitored score of the newest scoring in training, if it improves in one way."""
        if self.scored_at is None or self.monitor not in self.latest:
            return None
        if (way := way_of(self.monitor, self.scoring.ways)) is None:
            return None
        value = self.latest[self.monitor]
        return Scoring(self.scored_at, self.monitor, value, way, self.size is not None)

    def score(self, trainer: Trainer, system: Training, title: str) -> dict[str, float]:
        """Metric -> value over images of the averaged generator, all ranks together."""
        return self.bench(trainer, system).score(title)

    def begin_size(self, size: str | None) -> None:
        """Forget the best of smaller images: what is kept in the end is one of the full size."""
        if size != self.size:
            self.size, self.best = size, None

    def judge(self, values: dict[str, float], eligible: bool = True) -> None:
        """Take the newest values and see whether the monitored one is the best yet.

        One that is not `eligible`, of a run that diverged, never is.
        """
        self.latest = dict(values)
        self.go_by(metric := self.scoring.monitor(values))
        self.improved = eligible and better(metric, values[metric], self.best, self.scoring.ways)
        if self.improved:
            self.best = values[metric]

    def go_by(self, metric: str | None) -> None:
        """Monitor this one; the best of another is forgotten, and said to be."""
        if self.best is not None and metric != self.monitor:
            rank_zero_warn(f"best.ckpt is of {metric} now; {self.monitor} {self.best} is forgotten")
            self.best = None
        self.monitor = metric

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know: the best so far, of which metric, and when last scored."""
        return {
            "monitor": self.monitor,
            "best": self.best,
            "latest": dict(self.latest),
            "scored_at": self.scored_at,
            "records": [dict(record) for record in self.records],
            "size": self.size,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back; the best of another metric is forgotten."""
        self.latest, self.scored_at = dict(state_dict["latest"]), state_dict["scored_at"]
        self.scoring.records, self.size = list(state_dict["records"]), state_dict.get("size")
        self.monitor, self.best = state_dict["monitor"], state_dict["best"]
        self.go_by(self.scoring.asked or self.monitor)

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Forget earlier data and scores."""
        super().on_test_start(trainer, pl_module)
        self.best = None

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score the plain generator and write the table."""
        super().on_test_epoch_end(trainer, pl_module)
        if self.findings.result:
            self.judge(self.findings.result)
