"""`study=inception_select`: the images of highest per-image Inception Score beside random ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics import InceptionScore
from ganlab.report import figures, images
from ganlab.report.atomic import replace_file
from ganlab.report.tables import Table
from ganlab.studies.images.image_scores import best, image_scores
from ganlab.studies.sampling import batched, rank_indices
from ganlab.studies.scores import Study, comparing, watched
from ganlab.studies.stored import require_features

Groups = Mapping[str, Sequence[int]]  # title -> addresses of its latents
COLUMNS = ["images", "per-image score", "sureness"]


class InceptionSelect(Study):
    """Selects the top share of images by per-image score (Heikka, section 4.2.2).

    Writes `figures/inception_select.png` with its numbers, `selected.txt` (addresses, the best
    first, which other studies read), and `table.*`: the selected images, as many random ones and
    all, with the scores of `suite` for each.

    Raises:
        ValueError: a share outside (0, 1] or one of no image.
    """

    def __init__(
        self,
        *,
        extractor: Extractor,  # whose logits are the classes of the score
        directory: str | Path,  # where the files go
        num_samples: int = 10_000,  # images among which are selected: latents 0 .. num_samples-1
        share: float = 0.01,  # of them that is selected
        num_shown: int = 36,  # at most so many of either group in the figure
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        self.num = round(share * num_samples) if 0 < share <= 1 else 0
        if self.num < 1 or num_shown < 1:
            raise ValueError(
                f"study.share={share} of study.num_samples={num_samples} must be at least one "
                f"image, and study.num_shown={num_shown} at least 1"
            )
        self.extractor, self.num_samples, self.share = extractor, num_samples, share
        self.num_shown, self.folder = num_shown, Path(directory)
        self.image_scores = torch.empty(0)  # (num_samples,) nats, the result
        self.groups: dict[str, list[int]] = {}  # title -> addresses

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        super().preflight()
        require_features(self.extractor, "inception_select")
        self.extractor.preflight()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Fetch the weights, and refuse groups that are too small for one of the scores."""
        super().setup(trainer, pl_module, stage)
        self.extractor.prepare()
        if self.suite is not None:
            with comparing(self.suite, self.num):
                pass

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Score every image, select, and write."""
        logits = self.logits(trainer, system)
        self.image_scores = image_scores(logits)
        self.groups = {
            f"top {100 * self.share:.3g}%": best(self.image_scores, self.num),
            "random": list(range(self.num)),  # the first latents are as random as any
            "all": list(range(self.num_samples)),
        }
        rows = [self.row(trainer, system, name, logits) for name in self.groups]
        if trainer.is_global_zero:
            self.write(rows, system)

    def logits(self, trainer: Trainer, system: Any) -> Tensor:
        """Logits of all images by address, gathered over ranks, (num_samples, K) on the CPU."""
        self.extractor.to(system.device)
        gathered = _Logits().to(system.device)
        share = rank_indices(self.num_samples, trainer.global_rank, trainer.world_size)
        for indices in batched(watched(share, "per-image scores", trainer), self.batch_size):
            outputs = self.extractor(self.made(system, indices))
            found = gathered.source_of(outputs)
            assert found is not None
            gathered.update(found, False, torch.tensor(indices))
        return gathered.compute().cpu()

    def row(self, trainer: Trainer, system: Any, name: str, logits: Tensor) -> dict[str, Any]:
        """One row of the table; of all images only what costs nothing more."""
        indices = self.groups[name]
        sure = logits[indices].double().softmax(1).amax(1).mean()
        values = (f"{name} ({len(indices)})", float(self.image_scores[indices].mean()), float(sure))
        row = dict(zip(COLUMNS, values, strict=True))
        if self.suite is not None and name != "all":
            title = f"{name} of {self.num_samples} by per-image score"
            scores = self.score(trainer, system, title, indices=indices)
            self.record(scores, system, intervention=title)
            row |= scores
        return row

    def write(self, rows: list[dict[str, Any]], system: Any) -> None:
        """Table, addresses and figure."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = Table(columns, rows, caption="Images by per-image score", notes=self.notes())
        table.write(self.folder)
        selected = next(iter(self.groups.values()))
        replace_file(self.folder / "selected.txt", "\n".join(map(str, selected)).encode() + b"\n")
        shown = {
            name: indices[: self.num_shown]
            for name, indices in self.groups.items()
            if name != "all"
        }
        pictures = {name: self.made(system, indices).cpu() for name, indices in shown.items()}
        path = self.folder / "figures" / "inception_select.png"
        draw_selection(pictures, shown, self.image_scores, self.num, path)

    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        return [
            "per-image score: KL(p(y|x) || p(y)) in nats, p(y) over all these images; sureness: "
            "mean of the largest probability; exp of the mean over all is their Inception Score "
            "in one split",
            f"latents 0 to {self.num_samples - 1} of seed {self.seed}; random: the first "
            f"{self.num}; classes of {self.extractor.name} {self.extractor.sha256[:12]}",
        ]


def draw_selection(
    pictures: Mapping[str, Tensor],  # group -> (N, C, H, W): the selected and the random images
    indices: Groups,  # of these images
    scores: Tensor,  # (N,) of all images
    num: int,  # selected of them
    path: Path,
) -> Path:
    """Both groups as grids, and the scores of all images with the limit of the selection."""
    values = scores.sort(descending=True).values.numpy()
    numbers: dict[str, Any] = {"scores": scores.numpy(), "limit": values[num - 1]}
    with figures.styled():
        figure, panels = figures.new_figure(9.0, 3.1, 3, 3)
        for axes, (name, batch) in zip(panels, pictures.items(), strict=False):
            axes.imshow(images.grid(batch), interpolation="nearest")
            axes.set(xticks=[], yticks=[], title=name)
            axes.grid(visible=False)
            for spine in axes.spines.values():
                spine.set(visible=False)
            numbers[f"{name}/images"] = images.to_uint8(batch).numpy()
            numbers[f"{name}/indices"] = np.asarray(indices[name])
        panels[2].hist(values, 40, color=figures.PALETTE[0])
        panels[2].axvline(values[num - 1], color=figures.INK, linestyle="--", linewidth=0.8)
        panels[2].set(xlabel="per-image score, nats", ylabel="images", title="all")
    caption = f"The {num} images of highest per-image score, the best first, beside random ones"
    return figures.save(figure, path, numbers, caption)


class _Logits(InceptionScore):
    """Logits of images, gathered over ranks and put in order."""

    def compute(self) -> Tensor:  # type: ignore[override]
        """All logits by address, (N, K)."""
        return self.rows("fake")
