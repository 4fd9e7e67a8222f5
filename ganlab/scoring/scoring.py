"""A suite with its reals: what images are scored with, and the records of what was scored."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from ganlab.metrics import Suite
from ganlab.nn.growing import growth_state
from ganlab.nn.randomness import derived_seed
from ganlab.report.directions import Ways
from ganlab.report.protocols import protocol_notes, protocol_stamp
from ganlab.report.tables import Table
from ganlab.sampling import Sampler
from ganlab.scoring.directions import chosen_monitor
from ganlab.scoring.reals import Reals, bound, data_of


class Scoring:
    """Scores images against the reals of the data. Every scoring names how many it compared."""

    def __init__(
        self,
        suite: Suite | None,  # extractor and metrics; None = score nothing
        cache: str | Path | None = None,  # folder of real statistics; None = the user's cache
        monitor: str | None = None,  # metric that decides what is best; None = the first FID
        unseen: bool = False,  # compare with the side of the data that is not trained on
    ) -> None:
        self.suite, self.asked = suite, monitor
        self.reals = None if suite is None else Reals(suite, cache, unseen)
        self.records: list[dict[str, Any]] = []  # one per value, as in result.json

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        if self.suite is not None:
            self.suite.extractor.preflight()

    def fit(self, trainer: Trainer) -> None:
        """Let a protocol that may shrink to the data do so."""
        if self.reals is not None:
            self.reals.fit(self.reals.side(trainer), told=trainer.is_global_zero)

    def check(self, trainer: Trainer, stage: str) -> None:
        """Refuse data that is too small; a test pass takes one image a rank, see `begin`."""
        if self.reals is not None:
            self.reals.check(trainer)
        if stage == "test":
            bound(data_of(trainer), trainer.world_size)

    def recognize(self, trainer: Trainer, sampler: Sampler) -> None:
        """Note whether the reals are samples of the scored generator itself.

        Raises:
            ValueError: they are the very images that are scored.
        """
        if self.reals is not None:
            self.reals.recognize(trainer, sampler)

    def noted(self, table: Table) -> Table:
        """The table; one with scores against samples of the scored generator says so beneath."""
        own = "" if self.reals is None else self.reals.own
        scored = any(re.search("_own(?![a-z])", text) for text in (table.caption, *table.columns))
        if not own or not scored or any(own in note for note in table.notes):
            return table
        note = f"own: the reals are other samples of this generator itself, {own}"
        return replace(table, notes=[*table.notes, note])

    def check_sizes(self, num_fake: int) -> None:
        """Raise ValueError if so many generated images are too few for one of the scores."""
        if self.suite is not None:
            self.suite.check_sizes(self.suite.num_real, num_fake)

    def begin(self, trainer: Trainer, device: torch.device) -> None:
        """Forget earlier data and scores; the reals come from disk or from all of the data."""
        self.records = []
        if self.reals is not None:
            self.reals.complete = False
            self.reals.fill(trainer, device)

    @property
    def num_fake(self) -> int:
        """How many generated images the suite compares.

        Raises:
            ValueError: there is no suite.
        """
        return self._suite.num_fake

    @property
    def _suite(self) -> Suite:
        if self.suite is None:
            raise ValueError("study.suite is null, so there is nothing to score with")
        return self.suite

    def score(self, batches: Iterable[Tensor], num: int) -> dict[str, float]:
        """Metric -> value over this rank's batches of `num` images, all ranks together.

        The names say how many images were scored, as in `fid1300_of10k`.

        Raises:
            ValueError: there is no suite, or so many are too few for one of its scores.
        """
        suite = self._suite
        suite.reset()
        with comparing(suite, num):
            for images in batches:
                suite.update(images, real=False)
            return suite.compute()

    @property
    def ways(self) -> Ways:
        """Which way each score improves, where its class says so."""
        return {} if self.suite is None else self.suite.ways

    def monitor(self, values: dict[str, float]) -> str:
        """The metric of these that decides what is best."""
        return chosen_monitor(list(values), self.asked, self.ways)

    def record(
        self, values: dict[str, float], sampler: Sampler, images_seen: int | None, **facts: object
    ) -> None:
        """Append one record per value; `facts` say what was done to the generator.

        Of images that nobody generated here, `images_seen` of None, no seed is recorded either.
        """
        if self.suite is None:
            return
        found = self.suite.records(
            values, seed=sampler.seed, images_seen=images_seen or 0, truncation=sampler.truncation
        )
        unmade = ("seed", "images_seen", "ema") if images_seen is None else ()
        known: dict[str, Any] = {"mirror": self.reals is not None and self.reals.mirror}
        if self.reals is not None and self.reals.unseen:
            known["unseen"] = True
        if self.reals is not None and self.reals.own:
            known["own"] = self.reals.own
        if sampler.labels:
            known["classes"] = sampler.classes
        if size := growth_state(sampler.generator):
            known["size"] = size
        for stamped in found:
            record = {key: value for key, value in stamped.items() if key not in unmade}
            name = str(record["metric"])
            best = {"best": self.ways[name]} if name in self.ways else {}
            self.records.append({**record, **known, **best, **facts})


def score_table(records: Sequence[dict[str, Any]]) -> Table:
    """One row, one column a score; a note for each protocol says which scores it is that of."""
    first = records[0]
    values = {record["metric"]: record["value"] for record in records}
    row = {key: first[key] for key in ("images_seen", "seed") if key in first} | values
    stamps = {record["metric"]: protocol_stamp(record) for record in records}
    notes = protocol_notes(stamps, named=len(set(stamps.values())) > 1)
    whose = "the averaged generator" if "seed" in first else "the given images"
    return Table([*row], [row], caption=f"Scores of {whose}", notes=notes)


@contextmanager
def isolate_random_state(seed: int) -> Iterator[None]:
    """Loaders and metrics may draw inside, always the same numbers; outside nothing is felt."""
    with isolate_rng():
        torch.manual_seed(derived_seed("scores", seed))
        yield


@contextmanager
def comparing(suite: Suite, num_fake: int) -> Iterator[None]:
    """Let the suite compare this many generated images inside the block, and name scores so.

    Raises:
        ValueError: too few for one of its scores.
    """
    suite.check_sizes(suite.num_real, num_fake)
    asked, suite.num_fake = suite.num_fake, num_fake
    try:
        yield
    finally:
        suite.num_fake = asked
