"""`study=path_length`: how smoothly images change along paths through latent space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics import StoredFeatures
from ganlab.metrics.suite import short
from ganlab.networks.base import Generator
from ganlab.report.tables import Table
from ganlab.studies.latents.path_length import (
    SAMPLINGS,
    SPACES,
    check_path,
    path_length,
    perceptual_path_lengths,
)
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.sampling import rank_indices
from ganlab.studies.scores import Study, watched
from ganlab.studies.stored import require_features
from ganlab.systems.conditioning import conditions_of

COLUMNS = ["space", "sampling", "metric", "path length", "median", "num_paths", "seed"]


class PathLength(Study):
    """Mean length of paths in z and, of a style generator, in w; at any point and at the start.

    Writes a table and, in `path_lengths.npz`, every single length. Each rank walks its share.
    """

    def __init__(
        self,
        *,
        extractor: Extractor,  # whose features are compared; part of the score's name
        directory: str | Path,  # where the files go
        spaces: Sequence[str] | None = None,  # of z and w; None = both, or z where there is no w
        samplings: Sequence[str] = SAMPLINGS,  # full: anywhere on a path; end: where it begins
        num_paths: int = 50_000,
        epsilon: float = 1e-4,  # step along a path, whose length is 1
        crop: bool = False,  # compare the middle of aligned faces alone
        **options: Any,  # of `Study`
    ) -> None:
        super().__init__(directory=directory, **options)
        if num_paths < 1:
            raise ValueError(f"study.num_paths must be at least 1, got {num_paths}")
        self.extractor, self.num_paths = extractor, num_paths
        self.spaces = None if spaces is None else as_list(spaces)
        self.samplings, self.epsilon, self.crop = as_list(samplings), epsilon, crop
        self.folder = Path(directory)

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        super().preflight()
        require_features(self.extractor, "path_length")
        self.extractor.preflight()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse paths that cannot be walked, and fetch the weights, before anything is scored."""
        super().setup(trainer, pl_module, stage)
        for space in self.spaces_of(pl_module.generator_ema):
            for sampling in self.samplings:
                check_path(pl_module.generator_ema, space, sampling, self.epsilon)
        self.extractor.prepare()

    def spaces_of(self, generator: Generator) -> list[str]:
        """The chosen spaces, or all that the generator has."""
        if self.spaces is not None:
            return [str(space) for space in self.spaces]
        return [space for space in SPACES if space == "z" or hasattr(generator, "map")]

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Walk the paths of each kind; the first rank writes what was found."""
        self.extractor.to(system.device)
        found = {
            (space, str(sampling)): self.lengths(trainer, system, space, str(sampling))
            for space in self.spaces_of(system.generator_ema)
            for sampling in self.samplings
        }
        for kind, lengths in found.items():
            self.records.append(self.record_of(kind, float(path_length(lengths)), system))
        if trainer.is_global_zero:
            rows = [self.row(kind, lengths) for kind, lengths in found.items()]
            self.table(rows).write(self.folder)
            arrays = {"_".join(kind): lengths.numpy() for kind, lengths in found.items()}
            np.savez(self.folder / "path_lengths.npz", **arrays)  # type: ignore[arg-type]

    def lengths(self, trainer: Trainer, system: Any, space: str, sampling: str) -> Tensor:
        """The lengths of all paths by address, gathered over ranks, (num_paths,) float64."""
        share = rank_indices(self.num_paths, trainer.global_rank, trainer.world_size)
        gathered = _Lengths().to(system.device)
        if len(share):
            found = perceptual_path_lengths(
                system.generator_ema,
                self.extractor,
                watched(share, f"path length, {space} {sampling}", trainer),
                self.seed,
                space=space,
                sampling=sampling,
                epsilon=self.epsilon,
                crop=self.crop,
                batch_size=self.batch_size,
                device=system.device,
                condition_at=conditions_of(system),
            )
            gathered.update(found[:, None].to(system.device), False, torch.tensor(share))
        return gathered.compute().cpu()

    def name_of(self, space: str, sampling: str) -> str:
        """The score's full name, as `ppl_w_full50k_classifier_features`; no suffix is LPIPS."""
        options = ["crop"] * self.crop + [f"eps{self.epsilon:g}"] * (self.epsilon != 1e-4)
        score = f"ppl_{space}_{sampling}{short(self.num_paths)}"
        return "_".join([score, *options, self.extractor.name, "features"])

    def record_of(self, kind: tuple[str, str], value: float, system: Any) -> dict[str, Any]:
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
            "images_seen": system.images_seen,
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


class _Lengths(StoredFeatures):
    """One length an image, gathered over ranks and put in order."""

    stored = torch.float64

    def compute(self) -> Tensor:
        """All lengths by address, (N,)."""
        return self.ordered("fake")[:, 0]
