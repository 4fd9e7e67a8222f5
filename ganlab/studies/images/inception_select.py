"""`study=inception_select`: the images of highest per-image Inception Score beside random ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ganlab.metrics.inception_score import highest, image_scores
from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.panels import draw_grid
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.question import FeatureQuestion

Groups = Mapping[str, Sequence[int]]  # title -> addresses of its latents
COLUMNS = ["images", "per-image score", "sureness"]


@dataclass(frozen=True, kw_only=True)
class InceptionSelect(FeatureQuestion):
    """Selects the top share of images by per-image score (Heikka, section 4.2.2).

    The extractor's logits are the classes of the score.

    Writes `figures/inception_select.png` with its numbers, `selected.txt` (addresses, the best
    first, which other studies read), and `table.*`: the selected images, as many random ones and
    all, with the scores of `suite` for each.

    Raises:
        ValueError: a share outside (0, 1] or one of no image.
    """

    num_samples: int = 10_000  # images among which are selected: latents 0 .. num_samples-1
    share: float = 0.01  # of them that is selected
    num_shown: int = 36  # at most so many of either group in the figure

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num < 1 or self.num_shown < 1:
            raise ValueError(
                f"study.share={self.share} of study.num_samples={self.num_samples} must be at "
                f"least one image, and study.num_shown={self.num_shown} at least 1"
            )

    @property
    def num(self) -> int:
        """How many are selected."""
        return round(self.share * self.num_samples) if 0 < self.share <= 1 else 0

    def check(self, bench: Bench) -> None:
        """Fetch the weights, and refuse groups that are too small for one of the scores."""
        bench.scoring.check_sizes(self.num)
        super().check(bench)

    def run(self, bench: Bench) -> Findings:
        """Score every image and select."""
        logits = self.logits(bench)
        scores = image_scores(logits)
        groups = {
            f"top {100 * self.share:.3g}%": highest(scores, self.num),
            "random": list(range(self.num)),  # the first latents are as random as any
            "all": list(range(self.num_samples)),
        }
        selection = Selection(scores, groups)
        rows = [self.row(bench, selection, name, logits) for name in groups]
        if not bench.ranks.first:
            return Findings(result=selection)
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = Table(columns, rows, caption="Images by per-image score", notes=self.notes())
        selected = next(iter(groups.values()))
        shown = {name: groups[name][: self.num_shown] for name in groups if name != "all"}
        pictures = {name: bench.sampler.images(indices) for name, indices in shown.items()}
        drawing = draw_selection(pictures, shown, scores, self.num)
        return Findings(
            tables={"table": table},
            figures={"inception_select": drawing},
            files={"selected.txt": "\n".join(map(str, selected)).encode() + b"\n"},
            result=selection,
        )

    def logits(self, bench: Bench) -> Tensor:
        """Logits of all images by address, gathered over ranks, (num_samples, K) on the CPU.

        Of TensorFlow's Inception without their bias, as in the published score.
        """
        self.extractor.to(bench.device)
        found = []
        for batch in bench.images("per-image scores", range(self.num_samples)):
            outputs = self.extractor(batch)
            found.append(outputs.get("logits_unbiased", outputs["logits"]))
        return bench.ranks.gather(found).cpu()

    def row(
        self, bench: Bench, selection: "Selection", name: str, logits: Tensor
    ) -> dict[str, Any]:
        """One row of the table; of all images only what costs nothing more."""
        indices = selection.groups[name]
        sure = logits[indices].double().softmax(1).amax(1).mean()
        mean = float(selection.scores[indices].mean())
        values = (f"{name} ({len(indices)})", mean, float(sure))
        row = dict(zip(COLUMNS, values, strict=True))
        if bench.suite is not None and name != "all":
            title = f"{name} of {self.num_samples} by per-image score"
            scores = bench.score(title, indices)
            bench.record(scores, intervention=title)
            row |= scores
        return row

    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        return [
            "per-image score: KL(p(y|x) || p(y)) in nats, p(y) over all these images; sureness: "
            "mean of the largest probability; exp of the mean over all is their Inception Score "
            "in one split",
            f"latents 0 to {self.num_samples - 1} of seed {self.seed}; random: the first "
            f"{self.num}; classes of {self.extractor.name} {self.extractor.sha256[:12]}",
        ]


@dataclass(frozen=True, eq=False)
class Selection:
    """Which images were selected, and what by."""

    scores: Tensor  # (num_samples,) nats
    groups: Mapping[str, list[int]]  # title -> addresses


def draw_selection(
    pictures: Mapping[str, Tensor],  # group -> (N, C, H, W): the selected and the random images
    indices: Groups,  # of these images
    scores: Tensor,  # (N,) of all images
    num: int,  # selected of them
) -> Drawing:
    """Both groups as grids, and the scores of all images with the limit of the selection."""
    values = scores.sort(descending=True).values.numpy()
    numbers: dict[str, Any] = {"scores": scores.numpy(), "limit": values[num - 1]}
    with figures.house_style():
        figure, panels = figures.new_figure(9.0, 3.1, 3, 3)
        for axes, (name, batch) in zip(panels, pictures.items(), strict=False):
            draw_grid(axes, batch, name)
            numbers[f"{name}/images"] = images.to_uint8(batch).numpy()
            numbers[f"{name}/indices"] = np.asarray(indices[name])
        panels[2].hist(values, 40, color=figures.PALETTE[0])
        panels[2].axvline(values[num - 1], color=figures.INK, linestyle="--", linewidth=0.8)
        panels[2].set(xlabel="per-image score, nats", ylabel="images", title="all")
    caption = f"The {num} images of highest per-image score, the best first, beside random ones"
    return Drawing(figure, numbers, caption)
