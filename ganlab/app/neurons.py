"""The tab of neurons: one image's rarely activated neurons, where they are, and it without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ganlab.app.commands import Value, command
from ganlab.app.session import How, Session
from ganlab.app.view import View, enlarged
from ganlab.metrics.edits import change
from ganlab.nn.ablation import Census, share_silenced
from ganlab.nn.tracing import recorded
from ganlab.report import figures
from ganlab.report.images import Pixels, captioned_rows
from ganlab.report.panels import heat_over
from ganlab.sampling import Sampler
from ganlab.studies.neurons.ablation import KINDS, Ablation, ablation_edits, neuron_masks
from ganlab.studies.neurons.neuron_maps import share_map
from ganlab.studies.neurons.rates import Rates

SHARE = 0.3  # of the activated neurons that a random ablation silences (Table 1)
CELL = 128  # pixels: height of a picture beside its maps
BINS = 40


@dataclass(frozen=True, eq=False)
class Without:
    """One image without the neurons of one kind."""

    kind: str  # low, high or random
    image: Tensor  # (C, H, W)
    silenced: float  # share of the layers' activated neurons
    moved: float  # root mean square difference, as a share of the range
    maps: Mapping[str, Tensor]  # layer -> (H, W), where such neurons are active; random = none


@dataclass(frozen=True, eq=False)
class Seen:
    """One image, and what its layers were when it was made."""

    sampler: Sampler
    index: int
    image: Tensor  # (1, C, H, W)
    activations: Mapping[str, Tensor]  # layer -> (1, C, H, W)


def look(session: Session, how: How, index: int, layers: Sequence[str]) -> Seen:
    """The image as it is."""
    sampler = session.sampler(how, truncated=False)
    with session.lock, recorded(session.generator.layers, list(layers)) as activations:
        image = sampler.images([index])
    return Seen(sampler, index, image, {name: activations[name] for name in layers})


def without(session: Session, seen: Seen, kind: str, rates: Rates, rate: float) -> Without:
    """The image under the ablation that `study=sequential_ablation` makes of it; `rate` is R."""
    sampler, layers = seen.sampler, list(seen.activations)
    chosen = Ablation(kind, share=SHARE) if kind == "random" else Ablation(kind, rate)
    census, maps = Census(), dict[str, Tensor]()
    edits = ablation_edits(
        chosen, rates.rates, layers, sampler.seed, device=sampler.place, census=census
    )
    with session.lock:
        after = sampler.images([seen.index], edits)
    if kind != "random":
        masks = neuron_masks(chosen, rates.rates, layers)
        maps = {n: share_map(x, masks[n])[0].cpu() for n, x in seen.activations.items()}
    moved = float(change(after, seen.image)[0])
    return Without(kind, after[0], share_silenced(census.counts), moved, maps)


def intervention(
    session: Session,
    how: How,
    index: int,
    rates: Rates,
    layers: Sequence[str],
    rate: float,
) -> View:
    """The image, and without its low-rate, high-rate and random neurons, and where these are."""
    seen = look(session, how, index, layers)
    found = [without(session, seen, kind, rates, rate) for kind in KINDS]
    (before,) = enlarged(seen.image, CELL)
    rows: list[tuple[str, list[Pixels]]] = [(f"latent {index}", [before])]
    for each in found:
        (picture,) = enlarged(each.image[None], CELL)
        top = max((float(shares.max()) for shares in each.maps.values()), default=0.0)
        maps = [heat_over(before, x, each.kind, top) for x in each.maps.values()]
        caption = f"{each.kind} off\n{each.silenced:.1%} silenced\nmoved {each.moved:.3f}"
        rows.append((caption, [picture, *maps]))
    facts = (
        f"latent {index} of seed {how.seed}; R = {rate:g}, rates of {rates.num_latents} latents "
        f"of seed {rates.seed}; layers {', '.join(layers)}, whose maps lie over the image: share "
        f"of channels whose neuron is chosen and active; random: {SHARE:.0%} of the active ones; "
        f"{seen.sampler.stated}"
    )
    options: dict[str, Value] = {"suite": "null", "latents": [index], "rates": [rate]}
    options |= {"layer_sets": [list(layers)], **how.told, **counted(session, how, rates)}
    line = command(session.ckpt, "sequential_ablation", options)
    return View(captioned_rows(rows, scale=1), facts, line)


def counted(session: Session, how: How, rates: Rates) -> dict[str, Value]:
    """Options by which a study reads these rates."""
    key = session.rate_key(how, list(rates.rates))
    path = session.rates_file(key, rates.num_latents)
    return {"num_latents": rates.num_latents, "rates_file": str(path)}


def histogram(session: Session, how: How, rates: Rates, rate: float) -> View:
    """How often the neurons of each counted layer are active, and R."""
    edges = np.linspace(0, 1, BINS + 1)
    with figures.house_style():
        figure, (axes,) = figures.new_figure(4.6, 2.5)
        for i, (name, values) in enumerate(rates.rates.items()):
            share = np.histogram(values.flatten().numpy(), edges)[0] / values.numel()
            look: dict[str, Any] = {
                "color": figures.PALETTE[i % len(figures.PALETTE)],
                "fill": False,
            }
            axes.stairs(share, edges, label=figures.label(name), **look)
        axes.axvline(rate, color=figures.INK, linewidth=0.8, linestyle=":", label=f"R = {rate:g}")
        axes.set(xlabel="activation rate", ylabel="share of neurons")
        axes.legend()
        pixels = figures.pixels(figure)
    low = {name: float((values <= rate).double().mean()) for name, values in rates.rates.items()}
    told = ", ".join(f"{name} {share:.1%}" for name, share in low.items())
    facts = f"rates of {rates.num_latents} latents of seed {rates.seed}; at most R: {told}"
    options: dict[str, Value] = {"num_latents": rates.num_latents, "layers": list(rates.rates)}
    return View(pixels, facts, command(session.ckpt, "activation_rates", how.told | options))
