"""How high a peak stands after IN, PN and PIN: measured on planted peaks, and as theory predicts.

    python benchmarks/amplification.py                      # seconds; prints the table as JSON
    python benchmarks/amplification.py --out docs/results/amplification.json \
        --figure docs/images/circles_amplification.png

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN", eqs. 1 to 3
and 7. Feature maps of noise (deviation 1) get a peak of the same height on a share alpha of their
pixels, in a share of their channels. Its height after the norm is the mean over the peak's pixels
and channels, the paper's mu_1 hat: 1 is the root mean square of a whole map after IN, of a pixel
after PN. The first panel moves alpha, the second the share of channels; each point is measured on
maps drawn from `--seed` with the norms of `ganlab.nn.norm`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ganlab.nn.norm import InstanceNorm, PixelInstanceNorm, PixelNorm
from ganlab.nn.randomness import keyed_generator
from ganlab.report import figures
from ganlab.runs.provenance import commit

CHANNELS, SIDE = 128, 64  # of the maps
HEIGHT = 1000.0  # mu_1 of the peak; the rest is N(0, 1), so that |mu_2|, sigma << |mu_1| (eq. 2)
RHOS = {"in": 0.0, "pin_0_5": 0.5, "pin_0_9": 0.9, "pn": 1.0}  # rho of eq. 7
NAMES = {"in": "IN", "pin_0_5": "PIN, rho = 0.5", "pin_0_9": "PIN, rho = 0.9", "pn": "PN"}
PIXELS = [4**i for i in range(6)] + [SIDE**2 // 2]  # in the peak: alpha is this over SIDE^2
CARRIERS = [2**i for i in range(8)]  # channels that carry the peak
HEIGHTS = [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1000.0]  # mu_1 over the deviation of the rest
FIXED = {"pixels": 4, "carriers": 1, "height": HEIGHT}  # in the other panels: alpha = 1/1024


def predicted_in(alpha, height=HEIGHT):
    """Eq. 2 before its last step, with mu_2 = 0, sigma_1 = 0 and sigma_2 = 1."""
    return (1 - alpha) * height / np.sqrt((1 - alpha) + alpha * (1 - alpha) * height**2)


def predicted_pn(share, height=HEIGHT):
    """Eq. 3 at a pixel of the peak, when a share of the channels has it: about 1 / sqrt(share)."""
    return height / np.sqrt(share * height**2 + (1 - share))


def predicted(rho, alpha, share, height=HEIGHT):
    """Eq. 7: between the two."""
    return rho * predicted_pn(share, height) + (1 - rho) * predicted_in(alpha, height)


def planted(pixels, carriers, height, rng):
    """One (1, C, H, W) batch of noise, and where its peak is: (C, H, W) bool."""
    maps = torch.randn(1, CHANNELS, SIDE, SIDE, generator=rng)
    peak = torch.zeros(CHANNELS, SIDE**2, dtype=torch.bool)
    places = torch.randperm(SIDE**2, generator=rng)[:pixels]
    peak[:carriers, places] = True
    peak = peak.view(CHANNELS, SIDE, SIDE)
    return torch.where(peak, height, maps), peak


def norm_of(rho):
    """IN and PN themselves at the ends, PIN between."""
    if rho in (0.0, 1.0):
        return (PixelNorm if rho else InstanceNorm)(CHANNELS)
    norm = PixelInstanceNorm(CHANNELS)
    torch.nn.init.constant_(norm.rho, rho)
    return norm


@torch.no_grad()
def measured(rho, pixels, carriers, height, rng):
    """Mean over the peak after the norm."""
    maps, peak = planted(pixels, carriers, height, rng)
    return norm_of(rho)(maps)[0][peak].mean().item()


def panel(moved, values, x, seed):
    """Measured and predicted heights of each norm while one of `FIXED` takes these values."""
    found = {}
    for name, rho in RHOS.items():
        rng = keyed_generator("amplification", moved, seed)
        cases = [FIXED | {moved: value} for value in values]
        found[name] = {
            "measured": [measured(rho, **case, rng=rng) for case in cases],
            "predicted": [
                predicted(rho, c["pixels"] / SIDE**2, c["carriers"] / CHANNELS, c["height"])
                for c in cases
            ],
        }
    return {"x": x, "heights": found}


def worst(panels):
    """Largest relative difference of a measured from its predicted height."""
    gaps = [
        abs(a / b - 1)
        for each in panels.values()
        for pair in each["heights"].values()
        for a, b in zip(pair["measured"], pair["predicted"], strict=True)
    ]
    return max(gaps)


def named(panels):
    """Measured heights by name, for the docs: alpha_1_of_4096.in."""
    names = {
        "alpha": [f"alpha_{p}_of_{SIDE**2}" for p in PIXELS],
        "share": [f"channels_{c}_of_{CHANNELS}" for c in CARRIERS],
        "height": [f"height_{h:g}" for h in HEIGHTS],
    }
    return {
        key: {norm: pair["measured"][i] for norm, pair in panels[kind]["heights"].items()}
        for kind, keys in names.items()
        for i, key in enumerate(keys)
    }


def computed(seed):
    """All panels, as the figure and the JSON show them."""
    panels = {
        "alpha": panel("pixels", PIXELS, [p / SIDE**2 for p in PIXELS], seed),
        "share": panel("carriers", CARRIERS, [c / CHANNELS for c in CARRIERS], seed),
        "height": panel("height", HEIGHTS, HEIGHTS, seed),
    }
    return {**panels, "measured": named(panels), "largest_relative_difference": worst(panels)}


TITLES = {  # panel -> x-axis, title
    "alpha": ("share alpha of the pixels in the peak", "how small it is"),
    "share": ("share of channels that carry the peak", "how many channels have it"),
    "height": ("height before the norm; the rest: 1", "how high it was"),
}


def drawn(found):
    """The figure: lines are predicted, marks measured."""
    with figures.house_style():
        figure, panels = figures.new_figure(9.6, 3.1, panels=3, columns=3)
        for axes, (kind, (xlabel, title)) in zip(panels, TITLES.items(), strict=True):
            draw_panel(axes, found[kind], labelled=kind == "alpha")
            axes.set(xscale="log", yscale="log", xlabel=xlabel, title=title, ylim=(0.8, 100))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        alpha = np.array(found["alpha"]["x"])
        limit = {"color": figures.INK, "linestyle": ":", "label": "sqrt((1 - alpha) / alpha)"}
        panels[0].plot(alpha, np.sqrt((1 - alpha) / alpha), linewidth=2.6, alpha=0.45, **limit)
        panels[0].set_ylabel("height of the peak after the norm")
        figure.legend(loc="outside lower center", ncols=5, fontsize=7.5)
    return figure


def draw_panel(axes, found, labelled):
    for i, (name, heights) in enumerate(found["heights"].items()):
        colour, dashes = figures.PALETTE[i], figures.DASHES[i]
        axes.plot(found["x"], heights["predicted"], color=colour, linestyle=dashes)
        marks = {"marker": "osD^"[i], "markersize": 4, "linestyle": "none"}
        label = NAMES[name] if labelled else None
        axes.plot(found["x"], heights["measured"], color=colour, label=label, **marks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--figure", type=Path, help="draw it to this PNG")
    options = parser.parse_args()
    result = {
        "command": f"python benchmarks/amplification.py --seed {options.seed}",
        "commit": commit(),
        "seed": options.seed,
        "n": CHANNELS * SIDE**2,  # pixels of the maps
        "channels": CHANNELS,
        "side": SIDE,
        "height_before": HEIGHT,
        **computed(options.seed),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.figure:
        with figures.house_style():
            drawn(result).savefig(options.figure, metadata={"Software": None})


if __name__ == "__main__":
    main()
