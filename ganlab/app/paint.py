"""The tab of painting: a region of an image, the units active there, and images without them."""

from collections.abc import Sequence

import torch

from ganlab.app.commands import Value, command
from ganlab.app.session import How, Session
from ganlab.app.view import View, enlarged
from ganlab.metrics.edits import change
from ganlab.nn.ablation import ablate_units
from ganlab.report.images import captioned_rows, visible
from ganlab.report.tables import Table
from ganlab.studies.circles.depth import depth_table, depths
from ganlab.studies.circles.observation import reading_points
from ganlab.studies.neurons.layers import layer_shapes
from ganlab.studies.neurons.painted import Mark, PaintedUnit, painted_region, painted_units
from ganlab.studies.pyramid.edits import mark_region

LISTED = 24  # units that can be ticked
OTHERS = 8  # images beside the painted one
CELL = 64  # pixels: height of images side by side


def canvas(session: Session, how: How, index: int, marks: Sequence[Mark]) -> View:
    """The image with what is painted in red."""
    image, sampler = session.images(how, [index]), session.sampler(how, truncated=False)
    region = painted_region(marks, session.generator.image_size)
    painted = f"painted: {float(region.mean()):.1%} of it"
    facts = f"latent {index} of seed {how.seed}; {painted}; {sampler.stated}"
    line = command(session.ckpt, "samples", {"indices": [index], **how.told})
    shown = mark_region(visible(image), region[None, None]) if marks else image
    return View(enlarged(shown)[0], facts, line)


def map_layers(session: Session) -> list[str]:
    """Layers whose units have a place."""
    with session.lock:
        shapes = layer_shapes(session.sampler(How()))
    return [name for name, shape in shapes.items() if len(shape) == 3]


def ranked_units(
    session: Session, how: How, index: int, layer: str, marks: Sequence[Mark]
) -> list[PaintedUnit]:
    """The first of `painted_units`, with rates where they were counted. Raises as that."""
    sampler, rates = session.sampler(how, truncated=False), session.counted(how, layer)
    with session.lock:
        return painted_units(sampler, index, layer, marks, rates)[:LISTED]


def without_units(session: Session, how: How, index: int, layer: str, units: Sequence[int]) -> View:
    """The image and eight others, as they are and with these units off."""
    others = [i for i in range(OTHERS + 1) if i != index][:OTHERS]
    indices, edits = [index, *others], {layer: ablate_units(units)} if units else None
    sampler = session.sampler(how, truncated=False)
    with session.lock:
        before, after = session.images(how, indices), sampler.images(indices, edits)
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


def trace(session: Session, how: How, index: int, mark: Mark) -> Table:
    """How far a spot stands out in each layer, input to output, and its strongest unit there.

    The tracing of circular artifacts by hand: the first layer in which the spot stands far above
    the median is where it comes from.

    Raises:
        ValueError: a generator without style layers.
    """
    points = reading_points(session.generator)
    sampler = session.sampler(how, truncated=False)
    with session.lock:
        return depth_table(depths(sampler, [index], torch.tensor([[mark.y, mark.x]]), points))
