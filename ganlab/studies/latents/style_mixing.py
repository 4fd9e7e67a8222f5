"""`study=style_mixing`: images of source A with some layers' styles of source B.

Karras et al. 2019, figure 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.nn.style import bands, copy_styles
from ganlab.sampling import Sampler
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.latents.chosen import Chosen, chosen
from ganlab.studies.latents.pictures import blank, rows_of
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class StyleMixing(Question):
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
    truncation: float | None = None  # psi of the truncation trick
    noise: str = "fixed"  # random = drawn for each image, keyed by A's latent

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.named_bands

    @cached_property
    def named_bands(self) -> dict[str, list[int]] | None:
        """The bands as lists of layers."""
        return None if self.bands is None else checked_bands(self.bands)

    def check(self, bench: Bench) -> None:
        """Refuse generators without styles, politely, and read what is named."""
        bench.truncated(self.truncation)
        bands_of(bench.generator, self.named_bands)
        self.sources(bench.generator)

    def sources(self, generator: Generator) -> tuple[Chosen, Chosen]:
        """A and B."""
        a, b = ((self.a, "study.a"), (self.b, "study.b"))
        return chosen(generator, a[0], self.seed, a[1]), chosen(generator, b[0], self.seed, b[1])

    def run(self, bench: Bench) -> Findings:
        """The grid, its layers, and every mixed style; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        sampler, (a, b) = bench.truncated(self.truncation), self.sources(bench.generator)
        layers = bands_of(bench.generator, self.named_bands)
        styles_a, styles_b = styles_of(sampler, a), styles_of(sampler, b)
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
        picture = rows_of(rows, numbers, text, sampler)
        latents = {"style_mixing": torch.cat(kept)}
        return Findings(figures={"style_mixing": picture}, latents=latents)


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


def styles_of(sampler: Sampler, source: Chosen) -> Tensor:
    """The (N, L, W) styles of latents, or a file's own."""
    if source.values.ndim == 3:
        return source.values
    return sampler.styles(source.addresses, source.values)


def bands_of(
    generator: Generator,
    chosen_bands: Mapping[str, Sequence[int]] | None = None,  # None = coarse, middle, fine
) -> dict[str, list[int]]:
    """Band -> layers, those that the generator uses now; bands without any are left out.

    Raises:
        ValueError: the generator has no styles to mix, or not those layers.
    """
    network: Any = generator
    sizes = list(getattr(network, "style_sizes", []))
    if not hasattr(network, "map") or len(sizes) < 2:
        raise ValueError(
            f"study=style_mixing needs a generator with styles for its layers, such as stylegan "
            f"or stylegan2, and {type(generator).__module__} has none; study=interpolation and "
            "study=arithmetic work on any generator"
        )
    active = sizes[: getattr(network, "active_styles", len(sizes))]
    if chosen_bands is None:
        return {name: layers for name, layers in bands(active).items() if layers}
    wrong = [n for layers in chosen_bands.values() for n in layers if not 0 <= n < len(active)]
    if wrong or not chosen_bands or not all(chosen_bands.values()):
        raise ValueError(
            f"study.bands={dict(chosen_bands)} must name layers from 0 to {len(active) - 1}, as "
            "in {early: [0,1], late: [2,3]}"
        )
    return {name: list(layers) for name, layers in chosen_bands.items()}
