"""Directions of latent space that are found without labels: SeFa and GANSpace, for a notebook.

found = find_components(sampler, "sefa", 5)                         # vectors (5, D) of z or w
points = moved(sampler.latents([3]), found.vectors[0], [-3.0, 0.0, 3.0])          # (1, 3, D)
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab.checks.places import file_named
from ganlab.metrics.eigen import eigen
from ganlab.nn.tracing import Reached, observed, recorded
from ganlab.sampling import Sampler, batched, has_styles
from ganlab.storage.arrays import ArrayArchive

METHODS = ("sefa", "pca")
MOST = 2**28  # activations held at once: 1 GiB


@dataclass(frozen=True, eq=False)
class Components:
    """Directions of w where a generator has styles, else of z; the first matters most."""

    vectors: Tensor  # (K, D) float32, each of length 1
    shares: Tensor  # (K,) of the sum of all eigenvalues
    deviations: Tensor  # (K,) standard deviation of latents along each


def find_components(
    sampler: Sampler,
    method: str,  # sefa or pca
    num: int,  # K, fewer where there are not so many
    num_latents: int = 2000,  # addresses 0 .. num_latents-1 that `pca` and deviations are of
    layer: str | None = None,  # pca: of its activations; None = of w
) -> Components:
    """The leading components of a generator's affines, or of what its latents become.

    Raises:
        ValueError: another method, too many activations to hold, or styles that differ by layer.
    """
    if method not in METHODS:
        raise ValueError(f"study.method must be {' or '.join(METHODS)}, got {method!r}")
    latents = space_values(sampler, range(num_latents))
    if method == "sefa":
        vectors, shares = leading(affine_matrix(sampler), num)
    elif layer is None:
        vectors, shares = leading(latents - latents.mean(0), num)
    else:
        coordinates, shares = layer_coordinates(sampler, range(num_latents), layer, num)
        vectors = regressed(coordinates, latents)
    return Components(vectors.float(), shares, (latents.double() @ vectors.T).std(0))


def leading(matrix: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors of A^T A with the largest eigenvalues, (K, D), and their shares, (K,).

    From (M, D), in float64. SeFa (Shen & Zhou 2021, arXiv:2007.06600, eqs. 4-7): unit directions n
    that maximize |A n|^2, A the weights of what a latent enters. PCA: A the centred samples. Of
    the two signs it is the one with a positive largest number.
    """
    matrix = matrix.double()
    rows, values = eigenvectors(matrix.T @ matrix)
    return with_sign(rows[:num]), values[:num] / values.sum()


def eigenvectors(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Of a positive matrix (N, N), as rows (N, N), and eigenvalues, (N,): the largest first."""
    values, vectors = eigen(gram)
    return vectors.T.flip(0), values.clamp(min=0).flip(0)


def with_sign(rows: Tensor) -> Tensor:
    """Vectors (K, D) with the sign by which their largest number is positive."""
    return rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()


@torch.no_grad()
def affine_matrix(sampler: Sampler) -> Tensor:
    """The weights that act on a style, of all layers, stacked: (M, W) float64.

    Without styles those of the first layer, (M, Z): how what its neurons are given answers to each
    unit latent. It does so linearly, but for a normalization of latents, which scales all alike.
    """
    network = sampler.generator
    if has_styles(network):
        width, place = network.mean_style.shape[-1], sampler.place
        units = torch.cat([torch.zeros(1, width), torch.eye(width)]).to(place)
        answers = [affine(units) for affine in network.affines.values()]
    else:
        zero = torch.zeros(1, network.latent_dim)
        units, answers = torch.cat([zero, torch.eye(network.latent_dim)]), []
        first = next(iter(network.layers))

        def keep(name: str, received: Tensor, output: Tensor) -> None:
            answers.append(received)

        with observed(network.layers, [first], keep, stop=True):
            for rows in batched(range(len(units)), sampler.batch_size):
                with suppress(Reached):
                    sampler.paint(units[rows], [0] * len(rows))
        answers = [torch.cat(answers).flatten(1)]
    return torch.cat([(each[1:] - each[:1]).double().cpu().T for each in answers])


def space_values(sampler: Sampler, indices: Sequence[int]) -> Tensor:
    """w of these addresses where there are styles, else z: (N, D) on the CPU.

    Raises:
        ValueError: styles that are not the same for all layers.
    """
    if not has_styles(sampler.generator):
        return sampler.latents(indices)
    styles = sampler.styles(indices)
    if not torch.equal(styles, styles[:, -1:].expand_as(styles)):
        raise ValueError(
            f"{type(sampler.generator).__module__} has another w for each layer here: there is no "
            "one space whose directions could be found"
        )
    return styles[:, -1]


def layer_coordinates(
    sampler: Sampler, indices: Sequence[int], layer: str, num: int
) -> tuple[Tensor, Tensor]:
    """A layer's activations in their principal components, (N, K) float64, and shares, (K,).

    Raises:
        ValueError: more activations than are held at once.
    """
    found: list[Tensor] = []
    with recorded(sampler.generator.layers, [layer], stop=True) as outputs:
        for _ in sampler.passes(indices):
            found.append(outputs[layer].flatten(1).float().cpu())
            if (size := found[0][0].numel() * len(indices)) > MOST:
                raise ValueError(
                    f"study.num_latents={len(indices)} at {layer} are {size:,} activations; at "
                    f"most {MOST:,} are held at once: {MOST // found[0][0].numel()} latents"
                )
    values = torch.cat(found)
    values -= values.mean(0)
    rows, spectrum = eigenvectors((values @ values.T).double())  # (N, N): N is smaller
    return (rows[:num] * spectrum[:num, None].sqrt()).T, spectrum[:num] / spectrum.sum()


def regressed(coordinates: Tensor, latents: Tensor) -> Tensor:
    """Latent directions of components, (K, D) of length 1, from (N, K) and (N, D).

    GANSpace (Harkonen et al. 2020, arXiv:2004.02546, section 2.2): u_k minimizes the sum over j of
    |u_k x_jk - z_j|^2, so that u_k is along the sum of x_jk z_j; z is centred.
    """
    centred = latents.double() - latents.double().mean(0)
    return with_sign(torch.nn.functional.normalize(coordinates.double().T @ centred, dim=1))


def moved(
    start: Tensor,  # (N, D) latents, or (N, L, W) styles
    vector: Tensor,  # (D,)
    by: Sequence[float],  # T distances along it
    layers: Sequence[int] | None = None,  # whose styles are moved; None = all
) -> Tensor:
    """The starts moved along a direction, (N, T, ...); a distance of 0 changes no bit."""
    steps = torch.tensor(by, dtype=torch.float64)[:, None] * vector.double()  # (T, D)
    if start.ndim == 2:
        return (start.double()[:, None] + steps).to(start)
    chosen = torch.zeros(start.shape[1], 1, dtype=torch.float64)
    chosen[range(len(chosen)) if layers is None else list(layers)] = 1
    return (start.double()[:, None] + steps[:, None] * chosen).to(start)  # (N, T, L, W)


def read_direction(
    place: str | Path,  # figures/arithmetic.npz, or directions.npz, of a run
    width: int,  # of the generator's space
    key: str = "direction",  # the option, for messages
) -> Tensor:
    """The displacement that `study=arithmetic` left, or the first vector of `directions`, (D,).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds no direction of this space.
    """
    path = file_named(place, key, "figures/arithmetic.npz or directions.npz of a run")
    try:
        archive = ArrayArchive(path)
        name = "displacement" if "displacement" in archive.shapes else "vectors"
        values = archive[name]
        if values.dtype.kind not in "fiu" or not values.size or not np.isfinite(values).all():
            raise ValueError(f"its {name} of {values.dtype} are no finite numbers")
        found = torch.from_numpy(values.astype(np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{key}={place} is no file of directions ({error})") from error
    vector = found if found.ndim < 2 else found[0]  # the same for all layers, or the first of many
    if vector.shape != (width,):
        shape = tuple(found.shape)
        raise ValueError(f"{key}={place} holds {shape}; this generator's space is {width} wide")
    return vector
