"""Figures 5 and 6 of Choi et al. 2022: images with some of their neurons switched off."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from ganlab.report import images
from ganlab.report.drawings import Drawing
from ganlab.studies.neurons.panels import Panel, panel_figure, picture

LABELS = {"low": "LR", "high": "HR"}


def draw_figure_5(
    originals: Tensor,  # (N, C, H, W) in [-1, 1]
    ablated: Mapping[tuple[str, float], Tensor],  # (low or high, R) -> (N, C, H, W)
    indices: Sequence[int],  # addresses of the latents
    layers: Sequence[str],
) -> Drawing:
    """For each sample one row of HR and one of LR ablation, a column a rate."""
    rates = list(dict.fromkeys(rate for _, rate in ablated))
    rows: list[tuple[str, list[Panel | None]]] = []
    for place, index in enumerate(indices):
        for kind in ("high", "low"):
            titles = [f"R = {rate:g}" if not rows else "" for rate in rates]
            cells = [
                picture(ablated[kind, rate][place], title)
                for rate, title in zip(rates, titles, strict=True)
            ]
            first = picture(originals[place], f"latent {index}") if kind == "high" else None
            rows.append((f"{LABELS[kind]} ablated", [first, *cells]))
    numbers = {"indices": np.asarray(indices), "rates": np.asarray(rates)}
    numbers["original"] = images.to_uint8(originals).numpy()
    for (kind, rate), batch in ablated.items():
        numbers[f"{kind}/{rate:g}"] = images.to_uint8(batch).numpy()
    caption = f"Ablation of HR and of LR neurons in {', '.join(layers)} at several rates R"
    return Drawing(panel_figure(rows), numbers, caption)


def draw_before_after(
    pictures: Mapping[str, Tensor],  # row label -> (N, C, H, W) in [-1, 1], the same latents
    indices: Sequence[int],  # addresses of those latents
    layers: Sequence[str],
) -> Drawing:
    """One captioned row a state, one column a latent (Figures 3, bottom, and 6)."""
    rows = [(label, batch.cpu()) for label, batch in pictures.items()]
    numbers = {"indices": np.asarray(indices)}
    numbers |= {label: images.to_uint8(batch).numpy() for label, batch in rows}
    panels = [
        (
            label,
            [
                picture(image, f"{index}" if row == 0 else "")
                for image, index in zip(batch, indices, strict=True)
            ],
        )
        for row, (label, batch) in enumerate(rows)
    ]
    caption = f"Ablation of {', '.join(layers)} on the same latents"
    return Drawing(panel_figure(panels), numbers, caption)
