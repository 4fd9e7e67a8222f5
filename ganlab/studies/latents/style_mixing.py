"""`study=style_mixing`: images of source A with some layers' styles of source B.

Karras et al. 2019, figure 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganlab.networks.base import Generator, StyleGenerator
from ganlab.nn.style import bands, copy_styles
from ganlab.sampling import Sampler
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.latent_set import LatentSet, latent_set
from ganlab.studies.latents.pictures import LatentQuestion, blank, rows_of
from ganlab.studies.neurons.layers import as_list


@dataclass(frozen=True, kw_only=True)
class StyleMixing(LatentQuestion):
    """A grid: B along the top, A down the side, and for each band of layers every A with every B.

    A row keeps A's styles but in the layers of its band, which take B's. Bands without layers, as
    the fine one below 64 px, are left out. Noise is A's.

    Raises:
        ValueError: a generator without styles, or a band of layers that it does not have.
    """

    a: Latents = "0:3"  # rows: indices, a file of them, or an .npy of latents or styles
    b: Latents = "3:9"  # columns
    bands: Mapping[str, Sequence[int] | int] | None = None  # name -> layers that take B's styles;
    # None = coarse (to 8 px), middle (16 and 32 px), fine (from 64 px)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.named_bands

    @cached_property
    def named_bands(self) -> dict[str, list[int]] | None:
        """The bands as lists of layers."""
        return None if self.bands is None else checked_bands(self.bands)

    def read(self, generator: Generator) -> tuple[LatentSet, LatentSet, dict[str, list[int]]]:
        """A, B and the bands; refuses generators without styles, politely."""
        layers = bands_of(generator, self.named_bands)
        a = latent_set(generator, self.a, self.seed, "study.a")
        return a, latent_set(generator, self.b, self.seed, "study.b"), layers

    def paint(self, bench: Bench, sampler: Sampler) -> Findings:
        """The grid, its layers, and every mixed style."""
        a, b, layers = self.read(bench.generator)
        styles_a, styles_b = a.styles(sampler), b.styles(sampler)
        images_a = sampler.paint(styles_a, a.addresses)
        images_b = sampler.paint(styles_b, b.addresses)
        top = torch.cat([blank(images_b), images_b])
        rows, kept = [("source B\n" + ", ".join(b.names), top)], []
        for name, band in layers.items():
            for i in range(len(a)):
                mixed = mixed_row(styles_a[i], styles_b, band)
                images = sampler.paint(mixed, [a.addresses[i]] * len(b))
                caption = f"{name} styles of B\nA {a.names[i]}"
                rows.append((caption, torch.cat([images_a[i : i + 1], images])))
                kept.append(mixed)
        numbers: dict[str, Any] = {"a": a.addresses, "b": b.addresses}
        numbers |= {f"layers of {name}": band for name, band in layers.items()}
        text = f"Rows: source A, with the named layers' styles of source B; {a.source}"
        figures = {"style_mixing": rows_of(rows, numbers, text, sampler)}
        return Findings(figures=figures, latents={"style_mixing": torch.cat(kept)})


def checked_bands(bands: Mapping[str, Sequence[int] | int]) -> dict[str, list[int]]:
    """Band -> layers; a number alone is a band of one layer.

    Raises:
        ValueError: no mapping, or something else than layers in it.
    """
    found = {n: as_list(each) for n, each in bands.items()} if isinstance(bands, Mapping) else {}
    if not all(type(layer) is int for layers in found.values() for layer in layers) or not found:
        raise ValueError(f"study.bands={bands} must name layers, as in {{early: [0,1], late: 2}}")
    return {str(name): layers for name, layers in found.items()}


def mixed_row(
    style_a: Tensor,  # (L, W)
    styles_b: Tensor,  # (N, L, W)
    layers: Sequence[int],  # whose styles are B's
) -> Tensor:
    """A's styles with some layers of each B, (N, L, W); all layers make B, none A."""
    return copy_styles(styles_b, style_a.expand_as(styles_b), layers)


def bands_of(
    generator: Generator,
    chosen_bands: Mapping[str, Sequence[int]] | None = None,  # None = coarse, middle, fine
) -> dict[str, list[int]]:
    """Band -> layers, those that the generator uses now; bands without any are left out.

    Raises:
        ValueError: the generator has no styles to mix, or not those layers.
    """
    if not isinstance(generator, StyleGenerator) or generator.num_styles < 2:
        raise ValueError(
            f"study=style_mixing needs a generator with styles for its layers, such as stylegan "
            f"or stylegan2, and {type(generator).__module__} has none; study=interpolation and "
            "study=arithmetic work on any generator"
        )
    active = generator.style_sizes[: generator.active_styles]
    if chosen_bands is None:
        return {name: layers for name, layers in bands(active).items() if layers}
    wrong = [n for layers in chosen_bands.values() for n in layers if not 0 <= n < len(active)]
    if wrong or not chosen_bands or not all(chosen_bands.values()):
        raise ValueError(
            f"study.bands={dict(chosen_bands)} must name layers from 0 to {len(active) - 1}, as "
            "in {early: [0,1], late: [2,3]}"
        )
    return {name: list(layers) for name, layers in chosen_bands.items()}
