"""The callback that asks a question of a trained generator when `trainer.test` runs."""

from dataclasses import replace
from typing import Any, cast

from lightning import LightningModule, Trainer

from ganlab.cli import tell
from ganlab.scoring.scoring import Scoring, isolate_random_state
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings, write
from ganlab.studies.question import Question
from ganlab.systems.scorer import Scorer
from ganlab.systems.system import System


class Study(Scorer):
    """Runs one study at test time: the reals' statistics, then the question at its bench.

    They come from disk or from the data's test loader; without a suite nothing is read.
    Latent i belongs to rank i mod world size, and the first rank writes. The global random number
    generators are left as they were.

        study = Study(SequentialAblation(rates=[0.3], suite=suite, directory="out"))
        Trainer(callbacks=[study]).test(system, datamodule=data)
        study.findings.tables["table"]

    Raises:
        ValueError: fewer images in the data than the protocol compares, or options that do not fit
            the checkpoint; before anything is scored.
    """

    def __init__(
        self,
        question: Question,
        unseen: bool = False,  # reals are those of the side of the data that is not trained on
    ) -> None:
        super().__init__()
        self.question = question
        self.scoring = Scoring(question.suite, question.cache, question.monitor, unseen)
        self.findings = Findings()

    @property
    def state_key(self) -> str:
        """A name of its own: one trainer may ask several questions."""
        question = self.question
        return self._generate_state_key(
            study=type(question).__name__, directory=str(question.directory)
        )

    @property
    def scores(self) -> bool:
        """Whether generated images are compared with those of a test pass."""
        return self.question.suite is not None

    @property
    def records(self) -> list[dict[str, Any]]:
        """One per value, as in result.json."""
        return self.scoring.records

    def preflight(self) -> None:
        """Raise, before any data is read, if an extractor's weights are not to be had."""
        self.scoring.preflight()
        self.question.preflight()

    def bench(self, trainer: Trainer, system: System) -> Bench:
        """Where the question is answered."""
        return Bench(trainer, system, self.question, self.scoring)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse in the first second what would fail after an hour."""
        bench = self.bench(trainer, cast(System, pl_module))
        self.scoring.recognize(trainer, bench.sampler)  # which refuses noise that nothing takes
        self.scoring.fit(trainer)  # first: it says how many images there are to compare
        self.question.check(bench)
        self.scoring.check(trainer, stage)

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Forget earlier data and scores, and fill the reals."""
        with isolate_random_state(self.question.seed):
            self.scoring.begin(trainer, pl_module.device)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Score the plain generator, answer the question, and write what was found."""
        bench = self.bench(trainer, pl_module)
        with isolate_random_state(self.question.seed):
            if self.question.baseline:
                _ = bench.baseline
            found = self.question.run(bench)
            tables = {name: self.scoring.noted(table) for name, table in found.tables.items()}
            self.findings = replace(found, tables=tables)
            self.records.extend(self.findings.records)
            self.leave(bench)

    def leave(self, bench: Bench) -> None:
        """Write the findings; say to the person who waits what they say."""
        if bench.directory is not None:
            write(self.findings, bench.directory, bench.ranks.first)
        for line in self.findings.notes if bench.ranks.first else ():
            tell(line)
