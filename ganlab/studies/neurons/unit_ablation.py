"""`study=unit_ablation`: whole channels of a layer switched off by a ranking, step by step.

Bau et al. 2018 (GAN Dissection, arXiv:1811.10597), section 4.3: units that make artifacts are
found and set to zero, and the score improves until units that are needed go too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer

from ganlab.studies.neurons.ablation import Census, share_silenced
from ganlab.studies.neurons.ablation_figures import draw_before_after
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.neurons.unit_ranking import UnitStudy
from ganlab.studies.neurons.unit_report import Step, draw_steps, step_table
from ganlab.studies.neurons.units import ablate_units
from ganlab.studies.sampling import Edits, images_at


class UnitAblation(UnitStudy):
    """Switches off more and more units of one layer and scores the same latents after each step.

    Writes `table.*`, `figures/unit_ablation.png` (the curve) and `figures/units.png` (before and
    after).

    Raises:
        ValueError: more units than there are.
    """

    def __init__(
        self,
        *,
        steps: Sequence[int] | None = None,  # units switched off; None = 1, 2, 4, ... to half
        **options: Any,  # of `UnitStudy`
    ) -> None:
        super().__init__(**options)
        self.asked_steps = None if steps is None else sorted(set(as_list(steps)))
        if self.asked_steps is not None and (not self.asked_steps or self.asked_steps[0] < 1):
            raise ValueError(f"study.steps must be numbers of units from 1, got {self.asked_steps}")
        self.results: list[Step] = []

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse units that are not there before anything is scored."""
        super().setup(trainer, pl_module, stage)
        self.chosen_steps(self.checked_units(pl_module.generator_ema))

    def chosen_steps(self, num_units: int) -> list[int]:
        """Numbers of units to switch off, ascending.

        Raises:
            ValueError: more than there are.
        """
        if self.asked_steps is None:
            most = num_units if self.units is not None else max(1, num_units // 2)
            return sorted({2**i for i in range(most.bit_length())} | {most})
        if self.asked_steps[-1] > num_units:
            raise ValueError(
                f"study.steps goes to {self.asked_steps[-1]}, but there are {num_units} units"
            )
        return self.asked_steps

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Rank the units, then score with more and more of them gone."""
        (layer,) = self.layers_of(system.generator_ema)
        self.order = self.ranked_units(trainer, system, layer)
        indices = range(self.num_images) if self.given is None else self.given
        baseline = self.baseline(trainer, system, indices)
        self.results = [Step(0, baseline, 0.0, self.compared(self.before))]
        for num in self.chosen_steps(len(self.order)):
            self.results.append(self.step(trainer, system, indices, layer, num))
        if self.directory is not None and trainer.is_global_zero:
            self.write(system, layer, indices)

    def step(
        self, trainer: Trainer, system: Any, indices: Sequence[int], layer: str, num: int
    ) -> Step:
        """Score the latents without the first `num` units and record it."""
        census = Census()
        edits = {layer: census.watching(ablate_units(self.order[:num]))}
        title = f"{num} units of {layer} by {self.ranking}"
        values, features = self.measured(trainer, system, title, indices, edits)
        counts = trainer.strategy.reduce(census.counts.to(system.device), reduce_op="sum")
        self.record(values, system, intervention=title)
        return Step(num, values, share_silenced(counts), self.compared(features))

    def write(self, system: Any, layer: str, indices: Sequence[int]) -> None:
        """Table and figures, on one rank."""
        directory = self.directory or Path()
        monitor = self.monitor if self.results[0].values else None
        title = f"Units of {layer} switched off by {self.ranking}"
        notes = self.notes(indices)
        step_table(self.results, self.order, monitor, title, notes).write(directory)
        path = directory / "figures" / "unit_ablation.png"
        draw_steps(self.results, self.order, self.unit_values, monitor, title, path)
        shown = indices[: self.num_shown]
        rows: dict[str, Edits | None] = {"all units": None}
        for step in self.results[1:]:
            rows[f"without {step.num}"] = {layer: ablate_units(self.order[: step.num])}
        pictures = {
            label: images_at(
                system.generator_ema, shown, self.seed, edits=edits, **self.how(system)
            ).cpu()
            for label, edits in rows.items()
        }
        draw_before_after(pictures, shown, [layer], directory / "figures" / "units.png")

    def notes(self, indices: Sequence[int]) -> list[str]:
        """What a reader of the table must know."""
        return [
            *self.unscored(),
            f"ranking: {self.ranking_note()}",
            f"images: {self.described(indices)}; no truncation, {self.noise} noise, averaged "
            "generator",
            "a unit is set to zero at every position, whatever its sign",
        ]
