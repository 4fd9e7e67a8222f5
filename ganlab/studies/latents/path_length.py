"""`study=path_length`: how smoothly images change along paths through latent space.

Perceptual path length of Karras et al. 2019, arXiv 1812.04948, section 4.1, in the features of an
extractor instead of LPIPS, see `metrics.path_length`; the score's name says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ganlab.metrics.path_length import (
    SAMPLINGS,
    SPACES,
    check_path,
    path_length,
    perceptual_path_lengths,
)
from ganlab.metrics.suite import short_count
from ganlab.networks.base import Generator, StyleGenerator
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.question import FeatureQuestion, at_least

COLUMNS = ["space", "sampling", "metric", "path length", "median", "num_paths", "seed"]


@dataclass(frozen=True, kw_only=True)
class PathLength(FeatureQuestion):
    """Mean length of paths in z and, of a style generator, in w; at any point and at the start.

    Writes a table and, in `path_lengths.npz`, every single length. Each rank walks its share.
    """

    spaces: Sequence[str] | None = None  # of z and w; None = both, or z where there is no w
    samplings: Sequence[str] = SAMPLINGS  # full: anywhere on a path; end: where it begins
    num_paths: int = 50_000
    epsilon: float = 1e-4  # step along a path, whose length is 1
    crop: bool = False  # compare the middle of aligned faces alone

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_paths=self.num_paths)

    def check(self, bench: Bench) -> None:
        """Refuse paths that cannot be walked, and fetch the weights, before anything is scored."""
        for space, sampling in self.kinds_of(bench.generator):
            check_path(bench.generator, space, sampling, self.epsilon)
        super().check(bench)

    def kinds_of(self, generator: Generator) -> list[tuple[str, str]]:
        """Space and sampling of every score: those chosen, or in all spaces there are."""
        there = ["z", "w"] if isinstance(generator, StyleGenerator) else ["z"]
        spaces = there if self.spaces is None else [str(space) for space in as_list(self.spaces)]
        kinds = [(space, str(each)) for space in spaces for each in as_list(self.samplings)]
        if not kinds:
            raise ValueError(
                f"study.spaces={self.spaces} and study.samplings={self.samplings} name no path; "
                f"there are {', '.join(SPACES)} and {', '.join(SAMPLINGS)}"
            )
        return kinds

    def run(self, bench: Bench) -> Findings:
        """Walk the paths of each kind."""
        self.extractor.to(bench.device)
        found = {kind: self.lengths(bench, *kind) for kind in self.kinds_of(bench.generator)}
        rows, records = [], []
        for kind, lengths in found.items():
            name, value = self.name_of(*kind), float(path_length(lengths))
            rows.append([*kind, name, value, float(lengths.median()), self.num_paths, self.seed])
            record = bench.record_of(
                name, value, self.extractor, n_real=0, n_fake=self.num_paths, best="min"
            )
            records.append(record)
        arrays = {"_".join(kind): lengths.numpy() for kind, lengths in found.items()}
        table = Table.of(COLUMNS, rows, "Perceptual path length", [self.note])
        return Findings(tables={"table": table}, arrays={"path_lengths": arrays}, records=records)

    def lengths(self, bench: Bench, space: str, sampling: str) -> Tensor:
        """The lengths of all paths by address, gathered over ranks, (num_paths,) float64."""
        share = bench.ranks.share(range(self.num_paths))
        parts = []
        if len(share):
            lengths = perceptual_path_lengths(
                bench.generator,
                self.extractor,
                bench.ranks.progress(share, f"path length, {space} {sampling}"),
                self.seed,
                space=space,
                sampling=sampling,
                epsilon=self.epsilon,
                crop=self.crop,
                batch_size=self.batch_size,
                device=bench.device,
                condition_at=bench.sampler.condition,
            )
            parts.append(lengths)
        return bench.ranks.gather(parts).cpu()

    def name_of(self, space: str, sampling: str) -> str:
        """The score's full name, as `ppl_w_full50k_classifier_features`; no suffix is LPIPS."""
        options = ["crop"] * self.crop + [f"eps{self.epsilon:g}"] * (self.epsilon != 1e-4)
        score = f"ppl_{space}_{sampling}{short_count(self.num_paths)}"
        return "_".join([score, *options, self.extractor.name, "features"])

    @property
    def note(self) -> str:
        """What was measured."""
        return (
            f"squared distance of {self.extractor.name} features of length 1 "
            f"({self.extractor.sha256[:12]}, resize {self.extractor.resize}) over epsilon^2, "
            f"epsilon {self.epsilon:g}, mean between the 1st and 99th percentile"
            f"{', cropped to the face' * self.crop}; does not compare with values from LPIPS"
        )
