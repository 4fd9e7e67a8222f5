"""`study=radial_profile`: where rings are, in generated images and in reals."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.studies import Bench, Findings, Question
from ganlab_rings.radial import profiles


@dataclass(frozen=True, kw_only=True)
class RadialProfile(Question):
    """Mean brightness at each distance from the centre, of latents 0 .. num-1 and of first images.

    `result` is the profiles, (K,) each, by `fakes` and `reals`.
    """

    num: int = 1000  # images of either kind, at most as many reals as there are
    num_knots: int = 24  # distances, from the centre to the corners

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num < 1 or self.num_knots < 2:
            raise ValueError("study.num must be at least 1 and study.num_knots at least 2")

    def run(self, bench: Bench) -> Findings:
        """Sums on all ranks; table and curves on the first."""
        data, num = bench.data.dataset, min(self.num, len(bench.data.dataset))
        reals = (data.images(each) / 127.5 - 1 for each in bench.batched("reals", range(num)))
        fakes = bench.images("radial profile", range(self.num))
        none = torch.zeros(self.num_knots, dtype=torch.float64)
        found = {
            "fakes": bench.ranks.sum(sum(map(self.total, fakes), none)) / self.num,
            "reals": bench.ranks.sum(sum(map(self.total, reals), none)) / num,
        }
        radii = torch.linspace(0, 2**0.5, self.num_knots).tolist()
        rows = [
            {"radius": radius, "fakes": fake, "reals": real}
            for radius, fake, real in zip(radii, *map(Tensor.tolist, found.values()), strict=True)
        ]
        note = f"{self.num} latents of seed {self.seed}, {num} reals; radius in half sides"
        table = Table(["radius", *found], rows, caption="Mean brightness", notes=[note])
        curves = figures.curves({k: (radii, v) for k, v in found.items()}, "radius", "brightness")
        return Findings({"table": table}, {"profile": Drawing(*curves, note)}, result=found)

    def total(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (K,), summed over images, mean over channels."""
        return profiles(images.double().cpu(), self.num_knots).mean(dim=1).sum(dim=0)
