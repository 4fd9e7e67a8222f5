"""What the studies that switch neurons off share: images of chosen latents, scored and compared."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor, nn

from ganlab.features import Extractor
from ganlab.metrics import Suite
from ganlab.studies.neurons.artifact_latents import ArtifactStudy
from ganlab.studies.neurons.repair import Repair, in_order, repair, tapped
from ganlab.studies.sampling import Edits, EditsAt
from ganlab.studies.scores import comparing


class AblationStudy(ArtifactStudy):
    """Scores the images of chosen latents without and with interventions, in one feature pass.

    The baseline is the score of those images without any; the usual one, of the first latents, is
    not made. Without a suite nothing is scored, and features come from `extractor`.
    """

    def __init__(
        self,
        *,
        extractor: Extractor | None = None,  # features where `suite` is null; None = compare none
        **options: Any,  # of `ArtifactStudy`
    ) -> None:
        super().__init__(**options)
        suite: Suite | None = self.suite
        self.extractor: Any = extractor if suite is None else suite.extractor
        self.before: Tensor | None = None  # (N, d) features of the images without intervention

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        if self.extractor is not None:
            self.extractor.preflight()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse in the first second what would fail after an hour."""
        super().setup(trainer, pl_module, stage)
        if self.suite is not None:
            with comparing(self.suite, self.num_images):
                pass
        if self.suite is None and self.extractor is not None:
            self.extractor.prepare()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Go to the study's own work: its baseline is that of its latents, not the first ones."""
        with self.undisturbed():
            if self.reals is not None:
                self.reals.finish(trainer)
            if isinstance(self.extractor, nn.Module):
                self.extractor.to(pl_module.device)
            self.investigate(trainer, pl_module)

    def baseline(self, trainer: Trainer, system: Any, indices: Sequence[int]) -> dict[str, float]:
        """Scores of these images as they are; their features are kept for `compared`."""
        values, self.before = self.measured(trainer, system, "baseline", indices)
        if values:
            self.judge(values)
            self.record(values, system)
        return values

    def measured(
        self,
        trainer: Trainer,
        system: Any,
        title: str,  # of the progress bar
        indices: Sequence[int],
        edits: Edits | EditsAt | None = None,
    ) -> tuple[dict[str, float], Tensor | None]:
        """Scores, and features (N, d) in the order of `indices`, all ranks together."""
        if self.extractor is None:
            for _ in self.fakes(trainer, system, title, indices, edits):
                pass
            return {}, None
        values: dict[str, float] = {}
        with tapped(self.extractor) as features:
            if self.suite is not None:
                values = self.score(trainer, system, title, edits, indices)
            else:
                for images in self.fakes(trainer, system, title, indices, edits):
                    self.extractor(images.float())
        empty = torch.empty(0, self.extractor.feature_dim, device=system.device)
        return values, in_order(torch.cat([empty, *features]))

    def compared(self, after: Tensor | None) -> Repair | None:
        """What an intervention did to the images; None where there are no features."""
        return None if after is None or self.before is None else repair(self.before, after)

    def unscored(self) -> list[str]:
        """What a reader must know where something is left out."""
        notes = [] if self.suite is not None else ["no reals (study.suite=null): nothing is scored"]
        if self.extractor is None:
            return [*notes, "no extractor: repair and replacement are not told apart"]
        return notes
