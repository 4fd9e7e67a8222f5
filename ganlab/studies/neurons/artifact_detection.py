"""`study=artifact_detection`: images with many activated LR neurons (Choi et al. 2022, Table 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.metrics.activation_rate import low_rate
from ganlab.report import figures, images
from ganlab.report.directions import way_of
from ganlab.report.drawings import Drawing, Picture
from ganlab.report.panels import draw_grid, draw_stacked
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.detection import FILE, Ranking, rank_latents
from ganlab.studies.neurons.layers import Layer
from ganlab.studies.neurons.rate_count import RateQuestion
from ganlab.studies.neurons.rates import checked_rate
from ganlab.studies.question import at_least

BINS = 60
BESIDE = 16  # images beside the histogram at each end
BLUE, GREY, RED = figures.PALETTE[0], "#9aa3ad", figures.PALETTE[1]  # as the paper's boxes
LOOKS = ((BLUE, "//"), (GREY, ""), (RED, "\\\\"))  # fewest, between, most


@dataclass(frozen=True)
class Group:
    """Some of the ranked images, as one row of Table 2."""

    title: str  # `bottom 2000`
    counts: Tensor  # (K,) int64, activated LR neurons of each image
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> score; empty = unscored


@dataclass(frozen=True, kw_only=True)
class ArtifactDetection(RateQuestion):
    """Ranks images by their activated LR neurons and scores both ends of the ranking.

    Writes `ranking.npz` (address and count of every latent, sorted), `table.*` (Table 2, with as
    many random images for reference), `classes.*` where images are of several,
    `figures/artifact_detection.png` (Figure 2) and grids of both ends, `figures/top.png` and
    `figures/bottom.png`. No truncation (section 4.1).

    Rates are counted as the options of `RateQuestion` say: `num_latents`, `rate_seed`,
    `rates_file`, `save_every` and `noise`.

    Raises:
        ValueError: ends that overlap, a bad rate, or a layer that the network lacks.
    """

    layers: Sequence[Layer] | None = None  # names or positions; None = the early ones
    rate: float = 0.3  # R: a neuron activated at most this often has a low rate
    include_dead: bool = True  # never-activated neurons count as LR (the paper's text)
    num_samples: int = 50_000  # ranked latents, addresses 0 .. num_samples-1
    num: int = 2000  # images of either end that are scored
    num_shown: int = 64  # at most so many of either end in a grid

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_rate(self.rate)
        at_least(1, num=self.num, num_shown=self.num_shown)
        if 2 * self.num > self.num_samples:
            raise ValueError(
                f"both ends of study.num={self.num} must fit into study.num_samples="
                f"{self.num_samples}"
            )

    def check(self, bench: Bench) -> None:
        """Refuse layers that are not there, rates that do not fit, and too few images to score."""
        self.count.check(bench, self.count.layers(bench, self.layers))
        bench.scoring.check_sizes(self.num)

    def run(self, bench: Bench) -> Findings:
        """Count, rank and score both ends; `result` is the ranking and the rows of the table."""
        layers = self.count.layers(bench, self.layers)
        rates = self.count.rates(bench, layers).rates
        masks = {name: low_rate(rates[name], self.rate, self.include_dead) for name in layers}
        ranking = rank_latents(bench, masks, self.num_samples)
        groups = self.groups(bench, ranking)
        if not bench.writes:
            return Findings(result=(ranking, groups))
        shown = min(self.num_shown, self.num)
        top = bench.sampler.images(ranking.top(shown))
        bottom = bench.sampler.images(ranking.bottom(shown))
        classes = class_table(bench, ranking, self.num)
        return Findings(
            tables={"table": detection_table(groups, self.notes(masks)), **classes},
            figures={
                "top": grid_of_end(top, "top", ranking),
                "bottom": grid_of_end(bottom, "bottom", ranking),
                "artifact_detection": draw_detection(ranking, self.num, top, bottom),
            },
            files={FILE: ranking.save},
            result=(ranking, groups),
        )

    def groups(self, bench: Bench, ranking: Ranking) -> list[Group]:
        """The rows of Table 2: the fewest, the most, and the first latents as random ones."""
        counts = torch.empty_like(ranking.count)
        counts[ranking.index] = ranking.count  # by address
        chosen = {
            "bottom": ranking.bottom(self.num),
            "top": ranking.top(self.num),
            "random": list(range(self.num)),
        }
        return [
            Group(f"{name} {self.num}", counts[indices], self.score(bench, name, indices))
            for name, indices in chosen.items()
        ]

    def score(self, bench: Bench, name: str, indices: Sequence[int]) -> dict[str, float]:
        """Score these latents and record it; nothing without reals, nothing twice."""
        if bench.suite is None:
            return {}
        if name == "random" and bench.suite.num_fake == self.num:
            return dict(bench.baseline)  # it is of these latents
        title = f"{name} {self.num}"
        values = bench.score(title, indices)
        bench.record(values, intervention=f"{title} of {self.num_samples} by LR neurons")
        return values

    def notes(self, masks: Mapping[str, Tensor]) -> list[str]:
        """What a reader of the table must know."""
        low = sum(int(mask.sum()) for mask in masks.values())
        total = sum(mask.numel() for mask in masks.values())
        dead = "with" if self.include_dead else "without"
        notes = [
            f"{low} of {total} neurons of {', '.join(masks)} are LR: rate ≤ {self.rate:g} on "
            f"{self.num_latents} latents of seed {self.count.counted_seed}, {dead} "
            "never-activated ones",
            f"images: latents 0 to {self.num_samples - 1} of seed {self.seed}, noise {self.noise}, "
            f"no truncation, averaged generator; equal counts rank by index; random: the first "
            f"{self.num}; all addresses are in {FILE}",
        ]
        if low in (0, total):
            order = "the ranking is the order of the indices" if not low else "each counts"
            notes.append(f"study.rate selects {'every' if low else 'no'} neuron: {order}")
        if self.suite is None:
            notes.append("no scores: there are no reals to compare with (study.suite is null)")
        return notes


def detection_table(groups: Sequence[Group], notes: Sequence[str] = ()) -> Table:
    """Table 2: one row a group, its LR neurons and every score, the best of each score marked."""
    scores = list(dict.fromkeys(name for group in groups for name in group.values))
    columns = ["images", "LR neurons", "fewest", "most"]
    rows = []
    for group in groups:
        least, most = (int(each) for each in group.counts.aminmax())
        cells = (group.title, float(group.counts.double().mean()), least, most)
        rows.append({**dict(zip(columns, cells, strict=True)), **group.values})
    best = {name: way for name in scores if (way := way_of(name))}
    caption = "Images with the fewest and with the most activated LR neurons"
    return Table([*columns, *scores], rows, best, caption, [*notes])


def class_table(bench: Bench, ranking: Ranking, num: int) -> dict[str, Table]:
    """`classes`: LR neurons of the ranked images class by class, and how many are at either end.

    Nothing where images are told no class, or all of them one.
    """
    told = bench.sampler.condition(ranking.index.tolist())
    if told is None or told.label is None or told.label.ndim != 1 or len(told.label.unique()) < 2:
        return {}
    label, names = told.label.cpu(), bench.system.conditioner.class_names
    columns = ["class", "images", "LR neurons", "fewest", "most", f"bottom {num}", f"top {num}"]
    rows = []
    for each in label.unique().tolist():
        inside = label == each
        counts = ranking.count[inside]
        ends = int(inside[-num:].sum()), int(inside[:num].sum())
        least, most = (int(value) for value in counts.aminmax())
        name = names[each] if names else str(each)
        rows.append((name, len(counts), float(counts.double().mean()), least, most, *ends))
    return {"classes": Table.of(columns, rows, "Activated LR neurons by class")}


def histogram(ranking: Ranking, num: int) -> figures.Numbers:
    """Figure 2: images by their activated LR neurons: the `num` fewest, the most, those between."""
    counts = ranking.count.numpy()
    edges = np.linspace(counts.min(), max(counts.max(), counts.min() + 1), BINS + 1)
    parts = {"top": counts[:num], "between": counts[num:-num], "bottom": counts[-num:]}
    numbers: figures.Numbers = {"edges": edges}
    return numbers | {name: np.histogram(part, edges)[0] for name, part in parts.items()}


def draw_detection(
    ranking: Ranking,
    num: int,  # images of an end
    top: Tensor,  # (K, C, H, W) in [-1, 1], the first of the ranking
    bottom: Tensor,  # (K, C, H, W), the last of it, from the end
) -> Drawing:
    """Figure 2: the histogram between images of its two ends; the numbers go beside it."""
    bars, few, many = histogram(ranking, num), bottom[:BESIDE], top[:BESIDE]
    numbers: dict[str, ArrayLike] = {**bars}
    numbers |= {"bottom_index": ranking.bottom(len(few)), "bottom_images": images.to_uint8(few)}
    numbers |= {"top_index": ranking.top(len(many)), "top_images": images.to_uint8(many)}
    titles = {"bottom": f"fewest {num:,}", "between": "between", "top": f"most {num:,}"}
    with figures.house_style():
        figure, (left, middle, right) = figures.new_figure(9.0, 2.9, 3, 3)
        draw_grid(left, few, "the fewest LR neurons", BLUE)
        parts = {title: bars[name] for name, title in titles.items()}
        draw_stacked(middle, bars["edges"], parts, LOOKS, room=1.45)
        middle.set(xlabel="activated LR neurons", ylabel="images")
        middle.legend(loc="upper center", ncols=2, columnspacing=0.9, handlelength=1.3)
        draw_grid(right, many, "the most LR neurons", RED)
    caption = f"{len(ranking):,} images by their number of activated LR neurons"
    return Drawing(figure, numbers, caption)


def grid_of_end(
    batch: Tensor,  # (K, C, H, W) in [-1, 1]
    which: str,  # top or bottom
    ranking: Ranking,
) -> Picture:
    """A grid of one end of the ranking, with pixels and indices beside it."""
    top = which == "top"
    indices = ranking.top(len(batch)) if top else ranking.bottom(len(batch))
    counts = ranking.count if top else ranking.count.flip(0)
    numbers: dict[str, ArrayLike] = {"index": indices, "count": counts[: len(batch)]}
    numbers["images"] = images.to_uint8(batch)
    most = "most" if top else "fewest"
    text = f"Latents of seed {ranking.seed} with the {most} activated LR neurons, row by row"
    return Picture(images.grid(batch), numbers, text, images.cells_text(batch))
