"""Scores of the averaged generator: on a clock while it trains, and once over a test pass."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from tqdm import tqdm

from ganlab.data.batch import Batch
from ganlab.metrics import Suite
from ganlab.nn.growing import unfinished
from ganlab.nn.randomness import derived_seed
from ganlab.sampling import conditions_of
from ganlab.studies.directions import better, chosen_monitor, refuse_unknown
from ganlab.studies.reals import Reals, bound_test_pass
from ganlab.studies.sampling import Edits, EditsAt, generate, images_at
from ganlab.studies.score_report import score_table
from ganlab.systems.clock import crossed


class Scores(Callback):
    """Feeds one suite with real images and with images of addressed latents.

    Training: `latest`, `best` and `improved` speak of the newest scoring; a checkpoint callback
    reads `improved` in the same batch. Test: the pass over the data fills the real statistics, its
    end scores the plain generator. Every scoring replaces or, in a test, extends `records`. Latent
    i belongs to rank i mod world size. The global random number generators are left as they were.

    Raises:
        ValueError: fewer images in the data than the protocol compares, or an unknown `monitor`.
    """

    noise = "fixed"  # of the images, see `sampling.images_at`
    psi: float | None = None  # truncation of the scored images; None = as they are

    def __init__(
        self,
        suite: Suite | None = None,  # extractor and metrics; None = score nothing
        seed: int = 0,  # of the latents, which are its addresses 0 .. num_fake-1
        batch_size: int = 100,  # images generated at a time; changes no score beyond rounding
        every_kimg: float | None = None,  # score each time training crosses this; None = at its end
        monitor: str | None = None,  # metric that decides the best; None = the first FID
        directory: str | Path | None = None,  # where tables and figures go; None = write nothing
        cache: str | Path | None = None,  # folder of real statistics; None = the user's cache
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.suite, self.seed, self.batch_size = suite, seed, batch_size
        self.every_images = None if every_kimg is None else round(every_kimg * 1000)
        if self.every_images is not None and self.every_images < 1:
            raise ValueError(f"every_kimg must be above 0, got {every_kimg}")
        self.asked, self.monitor = monitor, monitor
        self.directory = None if directory is None else Path(directory)
        self.reals = None if suite is None else Reals(suite, cache)
        self.latest: dict[str, float] = {}  # metric -> value at the newest scoring
        self.best: float | None = None  # best value of `monitor` so far
        self.size: str | None = None  # of the images the best is of, while they grow
        self.improved = False  # whether the scoring in this very batch set a new best
        self.scored_at: int | None = None  # images_seen at the newest scoring in training
        self.records: list[dict[str, Any]] = []  # one per value, as in result.json

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        if self.suite is not None:
            self.suite.extractor.preflight()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse in the first second what would fail after an hour."""
        if self.suite is not None and stage == "fit" and self.asked is not None:
            refuse_unknown(self.asked, self.suite)
        if self.reals is not None:
            self.reals.check(trainer)
        elif stage == "test":
            bound_test_pass(trainer, trainer.world_size)  # reals are not needed: one a rank

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Score where the clock crossed a multiple of `every_kimg`."""
        self.improved = False
        if self.every_images is None:
            return
        if crossed(pl_module.images_before, pl_module.images_seen, self.every_images):
            self.score_training(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score the final generator, unless it just was or the run stopped before its length."""
        self.improved = False
        finished = pl_module.images_seen >= 1000 * getattr(pl_module, "kimg", 0)
        if finished and self.scored_at != pl_module.images_seen:
            self.score_training(trainer, pl_module)

    def score_training(self, trainer: Trainer, system: Any) -> None:
        """Score the averaged generator as it is now, log the values and update the best."""
        if self.reals is None:
            return
        with self.undisturbed():
            self.reals.fill(trainer, system.device)
            share_buffers(system.generator_ema)
            values = self.score(trainer, system, "scoring")
        self.scored_at, self.records = system.images_seen, []
        self.record(values, system)
        self.begin_size(unfinished(system.generator_ema))
        self.judge(values)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=system.images_seen)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Loaders and metrics may draw inside, always the same numbers; outside nothing is felt."""
        with isolate_rng():
            torch.manual_seed(derived_seed("scores", self.seed))
            yield

    def begin_size(self, size: str | None) -> None:
        """Forget the best of smaller images: what is kept in the end is one of the full size."""
        if size != self.size:
            self.size, self.best = size, None

    def judge(self, values: dict[str, float]) -> None:
        """Take the newest values and see whether the monitored one is the best yet."""
        self.latest = dict(values)
        self.monitor = chosen_monitor(list(values), self.asked)
        self.improved = better(self.monitor, values[self.monitor], self.best)
        if self.improved:
            self.best = values[self.monitor]

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
        self.records, self.size = list(state_dict["records"]), state_dict.get("size")
        if self.asked in (None, state_dict["monitor"]):
            self.monitor, self.best = state_dict["monitor"], state_dict["best"]

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Forget earlier data and scores."""
        self.records, self.best = [], None
        if self.reals is not None:
            self.reals.begin(trainer, pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Feed the reals of this batch."""
        if self.reals is not None:
            self.reals.feed(batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score the plain generator, the baseline row; then do the study's own work."""
        with self.undisturbed():
            if self.reals is not None:
                self.reals.finish(trainer)
                values = self.score(trainer, pl_module, "baseline")
                self.judge(values)
                self.record(values, pl_module)
            self.investigate(trainer, pl_module)

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Write the table of scores; a study does its own work here."""
        if self.directory is not None and trainer.is_global_zero and self.records:
            score_table(self.records).write(self.directory)

    def score(
        self,
        trainer: Trainer,
        system: Any,
        title: str,  # of the progress bar
        edits: Edits | EditsAt | None = None,  # an intervention; the latents stay the same
        indices: Sequence[int] | None = None,  # these latents; None = 0 .. num_fake-1
    ) -> dict[str, float]:
        """Metric -> value over images of the averaged generator, all ranks together.

        The names say how many images were scored, as in `fid1300_of10k`.
        """
        if self.suite is None:
            raise ValueError("study.suite is null, so there is nothing to score with")
        chosen = range(self.suite.num_fake) if indices is None else indices
        self.suite.reset()
        with comparing(self.suite, len(chosen)):
            for images in self.fakes(trainer, system, title, chosen, edits):
                self.suite.update(images, real=False)
            return self.suite.compute()

    def fakes(
        self,
        trainer: Trainer,
        system: Any,
        title: str,  # of the progress bar
        indices: int | Sequence[int],  # addresses, or how many of the first; shared out to ranks
        edits: Edits | EditsAt | None = None,
    ) -> Iterator[Tensor]:
        """Batches of images of the averaged generator."""
        chosen = range(indices) if isinstance(indices, int) else indices
        share = chosen[trainer.global_rank :: trainer.world_size]
        yield from generate(
            system.generator_ema,
            watched(share, title, trainer),
            self.seed,
            batch_size=self.batch_size,
            device=system.device,
            edits=edits,
            truncation=self.psi,
            condition_at=conditions_of(system),
            noise=self.noise,
        )

    def record(self, values: dict[str, float], system: Any, **intervention: Any) -> None:
        """Append one record per value; `intervention` says what was done to the generator."""
        if self.suite is not None:
            found = self.suite.records(
                values, seed=self.seed, images_seen=system.images_seen, truncation=self.psi
            )
            facts: dict[str, Any] = {"mirror": self.reals is not None and self.reals.mirror}
            if size := unfinished(system.generator_ema):
                facts["size"] = size
            self.records += [{**record, **facts, **intervention} for record in found]


class Study(Scores):
    """A question asked of a trained generator: `investigate`, after the baseline was scored."""

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Intervene, measure and write; runs on every rank."""
        raise NotImplementedError

    def made(self, system: Any, indices: Sequence[int]) -> Tensor:
        """Images of these latents, (N, C, H, W)."""
        return images_at(
            system.generator_ema,
            indices,
            self.seed,
            device=system.device,
            condition_at=conditions_of(system),
        )


@torch.no_grad()
def share_buffers(network: torch.nn.Module) -> None:
    """Give all ranks the first one's buffers, which a checkpoint keeps.

    Batch norm's running statistics are those of a rank's own images, parameters are everybody's.
    """
    ranks = torch.distributed
    if ranks.is_available() and ranks.is_initialized():
        for buffer in network.buffers():
            ranks.broadcast(buffer, src=0)


def watched(indices: Sequence[int], title: str, trainer: Trainer) -> Iterable[int]:
    """The same indices under a progress bar, on one rank and where a person is watching."""
    hidden = None if trainer.is_global_zero else True  # None = hidden unless on a terminal
    return tqdm(indices, title, unit="img", leave=False, disable=hidden)


@contextmanager
def comparing(suite: Suite, num_fake: int) -> Iterator[None]:
    """Let the suite compare this many generated images inside the block, and name scores so.

    Raises:
        ValueError: too few for one of its scores.
    """
    for metric in suite.metrics.values():
        metric.check_sizes(suite.num_real, num_fake)
    asked, suite.num_fake = suite.num_fake, num_fake
    try:
        yield
    finally:
        suite.num_fake = asked
