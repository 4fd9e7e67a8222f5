"""`study=path_length`: how smoothly images change along paths through latent space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics.suite import short
from ganlab.networks.base import Generator
from ganlab.report.tables import Table
from ganlab.sampling import has_styles
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.path_length import (
    SAMPLINGS,
    SPACES,
    check_path,
    path_length,
    perceptual_path_lengths,
)
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.question import Question
from ganlab.studies.stored import require_features

COLUMNS = ["space", "sampling", "metric", "path length", "median", "num_paths", "seed"]


@dataclass(frozen=True, kw_only=True)
class PathLength(Question):
    """Mean length of paths in z and, of a style generator, in w; at any point and at the start.

    Writes a table and, in `path_lengths.npz`, every single length. Each rank walks its share.
    """

    extractor: Extractor  # whose features are compared; part of the score's name
    spaces: Sequence[str] | None = None  # of z and w; None = both, or z where there is no w
    samplings: Sequence[str] = SAMPLINGS  # full: anywhere on a path; end: where it begins
    num_paths: int = 50_000
    epsilon: float = 1e-4  # step along a path, whose length is 1
    crop: bool = False  # compare the middle of aligned faces alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_paths < 1:
            raise ValueError(f"study.num_paths must be at least 1, got {self.num_paths}")

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        require_features(self.extractor, "path_length")
        self.extractor.preflight()

    def check(self, bench: Bench) -> None:
        """Refuse paths that cannot be walked, and fetch the weights, before anything is scored."""
        for space, sampling in self.kinds_of(bench.generator):
            check_path(bench.generator, space, sampling, self.epsilon)
        self.extractor.prepare()

    def kinds_of(self, generator: Generator) -> list[tuple[str, str]]:
        """Space and sampling of every score: those chosen, or in all spaces there are."""
        there = [space for space in SPACES if space == "z" or has_styles(generator)]
        spaces = there if self.spaces is None else [str(space) for space in as_list(self.spaces)]
        return [(space, str(each)) for space in spaces for each in as_list(self.samplings)]

    def run(self, bench: Bench) -> Findings:
        """Walk the paths of each kind."""
        self.extractor.to(bench.device)
        found = {kind: self.lengths(bench, *kind) for kind in self.kinds_of(bench.generator)}
        records = [
            self.record_of(kind, float(path_length(lengths)), bench.images_seen)
            for kind, lengths in found.items()
        ]
        table = self.table([self.row(kind, lengths) for kind, lengths in found.items()])
        arrays = {"_".join(kind): lengths.numpy() for kind, lengths in found.items()}
        return Findings(tables={"table": table}, arrays={"path_lengths": arrays}, records=records)

    def lengths(self, bench: Bench, space: str, sampling: str) -> Tensor:
        """The lengths of all paths by address, gathered over ranks, (num_paths,) float64."""
        share = bench.ranks.share(range(self.num_paths))
        parts = []
        if len(share):
            lengths = perceptual_path_lengths(
                bench.generator,
                self.extractor,
                bench.ranks.watched(share, f"path length, {space} {sampling}"),
                self.seed,
                space=space,
                sampling=sampling,
                epsilon=self.epsilon,
                crop=self.crop,
                batch_size=self.batch_size,
                device=bench.device,
                condition_at=bench.sampler.condition_at,
            )
            parts.append(lengths)
        return bench.ranks.joined(parts).cpu()

    def name_of(self, space: str, sampling: str) -> str:
        """The score's full name, as `ppl_w_full50k_classifier_features`; no suffix is LPIPS."""
        options = ["crop"] * self.crop + [f"eps{self.epsilon:g}"] * (self.epsilon != 1e-4)
        score = f"ppl_{space}_{sampling}{short(self.num_paths)}"
        return "_".join([score, *options, self.extractor.name, "features"])

    def record_of(self, kind: tuple[str, str], value: float, images_seen: int) -> dict[str, Any]:
        """The record of one score, as it stands in result.json."""
        return {
            "metric": self.name_of(*kind),
            "value": value,
            "n_real": 0,
            "n_fake": self.num_paths,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "resize": self.extractor.resize,
            "truncation": None,
            "ema": True,
            "seed": self.seed,
            "images_seen": images_seen,
        }

    def row(self, kind: tuple[str, str], lengths: Tensor) -> dict[str, Any]:
        """One row of the table."""
        values = (float(path_length(lengths)), float(lengths.median()), self.num_paths, self.seed)
        return dict(zip(COLUMNS, (*kind, self.name_of(*kind), *values), strict=True))

    def table(self, rows: list[dict[str, Any]]) -> Table:
        """The table, with what was measured in the notes."""
        note = (
            f"squared distance of {self.extractor.name} features of length 1 "
            f"({self.extractor.sha256[:12]}, resize {self.extractor.resize}) over epsilon^2, "
            f"epsilon {self.epsilon:g}, mean between the 1st and 99th percentile"
            f"{', cropped to the face' * self.crop}; does not compare with values from LPIPS"
        )
        return Table(COLUMNS, rows, caption="Perceptual path length", notes=[note])
