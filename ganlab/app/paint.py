"""The tab of painting: a region of an image, the units active there, and images without them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ganlab.app.commands import Value, command
from ganlab.app.session import How, Session
from ganlab.app.view import View, enlarged
from ganlab.metrics.edits import change
from ganlab.metrics.units import activity_within, unit_rates
from ganlab.nn.ablation import ablate_units
from ganlab.nn.tracing import recorded
from ganlab.report.images import captioned_rows
from ganlab.report.tables import Table
from ganlab.studies.circles.depth import depth_table, depths
from ganlab.studies.circles.observation import reading_points
from ganlab.studies.neurons.layers import layer_shapes
from ganlab.studies.pyramid.edits import mark_region

LISTED = 24  # units that can be ticked
OTHERS = 8  # images beside the painted one
CELL = 64  # pixels: height of images side by side


class Dab(NamedTuple):
    """One touch of the brush, in shares of height and width."""

    y: float
    x: float
    radius: float  # as a share of the height


@dataclass(frozen=True)
class Unit:
    """A channel of a layer, as it is active in a region of one image."""

    number: int
    share: float  # of its magnitude that lies there
    magnitude: float  # its mean |a| there
    rate: float | None = None  # mean activation rate; None = not counted

    @property
    def label(self) -> str:
        """`17: 62% there, rate 0.31`."""
        rate = "" if self.rate is None else f", rate {self.rate:.2f}"
        return f"{self.number}: {self.share:.0%} there{rate}"


def painted_region(dabs: Sequence[Dab], size: tuple[int, int]) -> Tensor:
    """The pixels that dabs cover, (H, W) float, 1 inside; the nearest pixel of a dab always is."""
    height, width = size
    y = (torch.arange(height) + 0.5)[:, None] / height
    x = (torch.arange(width) + 0.5)[None] / width
    region = torch.zeros(size)
    for dab in dabs:
        distance = (y - dab.y).square() + ((x - dab.x) * width / height).square()
        region[(distance <= dab.radius**2) | (distance == distance.min())] = 1
    return region


def checked_dabs(dabs: Sequence[Dab]) -> list[Dab]:
    """The dabs themselves.

    Raises:
        ValueError: none, or one outside of the image.
    """
    if not dabs:
        raise ValueError("nothing is painted: click on the image, or add a dab at y and x")
    if not all(0 <= dab.y <= 1 and 0 <= dab.x <= 1 and dab.radius > 0 for dab in dabs):
        raise ValueError("a dab lies outside of the image: y and x go from 0 to 1")
    return list(dabs)


def canvas(session: Session, how: How, index: int, dabs: Sequence[Dab]) -> View:
    """The image with what is painted in red."""
    sampler = session.sampler(how, truncated=False)
    with session.lock:
        image = sampler.images([index])
    region = painted_region(dabs, (image.shape[-2], image.shape[-1]))
    facts = f"latent {index} of seed {how.seed}; painted: {float(region.mean()):.1%} of it"
    line = command(session.ckpt, "samples", {"indices": [index], **how.told})
    shown = mark_region(image[:, :3], region[None, None]) if dabs else image
    return View(enlarged(shown)[0], facts, line)


def map_layers(session: Session) -> list[str]:
    """Layers whose units have a place."""
    with session.lock:
        shapes = layer_shapes(session.sampler(How()))
    return [name for name, shape in shapes.items() if len(shape) == 3]


def ranked_units(
    session: Session, how: How, index: int, layer: str, dabs: Sequence[Dab]
) -> list[Unit]:
    """The units of a layer by share times magnitude in the region: active there, and mostly there.

    Rates stand beside them where they were counted.

    Raises:
        ValueError: nothing is painted.
    """
    checked, sampler = checked_dabs(dabs), session.sampler(how, truncated=False)
    layers = session.generator.layers
    with session.lock, recorded(layers, [layer]) as outputs:
        sampler.batch([index])
    region = painted_region(checked, session.generator.image_size)
    share, magnitude = activity_within(outputs[layer][0], region)
    counted = session.counted(how, layer)
    rates = None if counted is None else unit_rates(counted)
    order = (share * magnitude).argsort(descending=True, stable=True)[:LISTED].tolist()
    return [
        Unit(n, float(share[n]), float(magnitude[n]), None if rates is None else float(rates[n]))
        for n in order
    ]


def without_units(session: Session, how: How, index: int, layer: str, units: Sequence[int]) -> View:
    """The image and eight others, as they are and with these units off."""
    others = [i for i in range(OTHERS + 1) if i != index][:OTHERS]
    indices, edits = [index, *others], {layer: ablate_units(units)} if units else None
    sampler = session.sampler(how, truncated=False)
    with session.lock:
        before, after = sampler.images(indices), sampler.images(indices, edits)
    moved = change(after, before)
    rows = [("as they are", enlarged(before, CELL)), ("units off", enlarged(after, CELL))]
    facts = (
        f"{len(units)} units of {layer} off: {', '.join(map(str, units)) or 'none'}; latent "
        f"{index} moved {float(moved[0]):.3f}, the others ({', '.join(map(str, others))}) "
        f"{float(moved[1:].mean()):.3f} on average; seed {how.seed}"
    )
    options: dict[str, Value] = {"layer": layer, "units": list(units), "steps": [len(units)]}
    options |= {"latents": indices, "num_shown": len(indices), "suite": "null", "extractor": "null"}
    line = command(session.ckpt, "unit_ablation", how.told | options) if units else ""
    return View(captioned_rows(rows, scale=1), facts, line)


def trace(session: Session, how: How, index: int, dab: Dab) -> Table:
    """How far a spot stands out in each layer, input to output, and its strongest unit there.

    The tracing of circular artifacts by hand: the first layer in which the spot stands far above
    the median is where it comes from.

    Raises:
        ValueError: a generator without style layers.
    """
    points = reading_points(session.generator)
    sampler = session.sampler(how, truncated=False)
    with session.lock:
        return depth_table(depths(sampler, [index], torch.tensor([[dab.y, dab.x]]), points))
