"""`study=spectrum`: radial power of generated images against that of reals.

Up-sampling leaves a grid that reals do not have: too much or too little power at high frequencies
(Durall et al. 2020, arXiv:2003.01826, section 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.data.positions import stored_images
from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class Spectrum(Question):
    """Mean power at each spatial frequency, of latents 0 .. num-1 and of the data's first images.

    `result` is frequency (cycles an image) -> power of fakes over reals, in dB.
    """

    num: int = 2000  # images of either kind, at most as many reals as there are

    def run(self, bench: Bench) -> Findings:
        """Sums on all ranks, table and curves on the first."""
        num = min(self.num, len(bench.data.dataset))
        shares = bench.batched("reals", range(num))
        images = (stored_images(bench.data, each, bench.device).image for each in shares)
        none = torch.zeros(max(bench.generator.image_size) // 2 + 1).double()
        fakes = sum(map(power, bench.images("spectrum", range(self.num))), none)
        reals = sum(map(power, images), none)
        fake, real = bench.ranks.sum(fakes / self.num), bench.ranks.sum(reals / num)
        decibels = (10 * (fake / real).log10()).tolist()
        columns = ["frequency", "fakes", "reals", "fakes over reals, dB"]
        values = zip(range(len(fake)), fake.tolist(), real.tolist(), decibels, strict=True)
        note = f"{self.num} latents of seed {self.seed}, {num} reals; cycles an image"
        table = Table.of(columns, values, "Radial power spectrum", [note])
        lines = {"fakes": (range(len(fake)), fake), "reals": (range(len(real)), real)}
        drawing = Drawing(*figures.curves(lines, "cycles an image", "power", log=True), note)
        return Findings({"table": table}, {"spectrum": drawing}, result=dict(enumerate(decibels)))


def power(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (max(H, W) // 2 + 1,) float64: by whole distance from 0, the sum over N.

    |FFT|^2 / (H W), mean over channels and over a ring's frequencies."""
    height, width = images.shape[2:]
    spectrum = torch.fft.fft2(images.double(), norm="ortho").abs().square().mean(1).sum(0)  # (H, W)
    y, x = torch.fft.fftfreq(height, 1 / height), torch.fft.fftfreq(width, 1 / width)
    ring = torch.hypot(*torch.meshgrid(y, x, indexing="ij")).round().long()
    kept = ring <= max(height, width) // 2
    total = torch.bincount(ring[kept], spectrum.cpu()[kept])
    return total / torch.bincount(ring[kept])
