"""What a filter of a discriminator sees in an image: guided backpropagation.

Springenberg et al., "Striving for Simplicity" (arXiv:1412.6806), section 3.4; Heikka, "Face
synthesis with DCGAN", figure 7. A LeakyReLU passes a gradient only where its value and the gradient
are positive, as a ReLU does there; the network itself stays as it is.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from ganlab.networks.base import Condition, Discriminator
from ganlab.nn.modulation import ScaledLeakyReLU
from ganlab.nn.tracing import guided, recorded
from ganlab.sampling import evaluating

RECTIFIERS = (nn.ReLU, nn.LeakyReLU, ScaledLeakyReLU)


def rectifiers(
    discriminator: Discriminator,
    images: Tensor,  # (N, C, H, W) in [-1, 1], at full resolution
    condition: Condition | None = None,
) -> dict[str, nn.Module]:
    """Name -> ReLU or LeakyReLU that fires on such images, from the image to the logit.

    A name is `<size>x<size>/<position>`, or `fc/<position>` of a layer without a map.

    Raises:
        ValueError: the network has none.
    """
    modules = {n: m for n, m in discriminator.named_modules() if isinstance(m, RECTIFIERS)}
    with torch.no_grad(), evaluating(discriminator), recorded(modules) as outputs:
        discriminator(discriminator.views(images), condition)
    if not outputs:
        raise ValueError(
            f"guided backpropagation goes through ReLU or LeakyReLU modules, and "
            f"{type(discriminator).__module__} has none"
        )
    found: dict[str, nn.Module] = {}
    for name, output in outputs.items():
        size = "x".join(map(str, output.shape[2:])) or "fc"
        position = sum(each.startswith(f"{size}/") for each in found)
        found[f"{size}/{position}"] = modules[name]
    return found


def chosen_layer(layers: dict[str, nn.Module], layer: int | str | None) -> str:
    """The name of a layer given by name or by position; None = the one in the middle.

    Raises:
        ValueError: no such layer; the message lists those there are.
    """
    names = list(layers)
    if layer is None:
        return names[len(names) // 2]
    if isinstance(layer, int) and 0 <= layer < len(names):
        return names[layer]
    if layer in names:
        return str(layer)
    listing = ", ".join(f"{index} = {name}" for index, name in enumerate(names))
    raise ValueError(f"study.layer: no layer {layer}; this discriminator has {listing}")


def peaks_of(output: Tensor) -> Tensor:
    """The largest activation of each filter, (N, C, h, w) or (N, C) -> (N, C)."""
    return output.flatten(2).amax(2) if output.ndim > 2 else output


@torch.no_grad()
def strongest_filters(
    discriminator: Discriminator,
    images: Tensor,  # (N, C, H, W) in [-1, 1]
    layer: str,
    num: int,
    condition: Condition | None = None,
) -> list[int]:
    """The filters whose largest activation is highest on average over these images, descending."""
    layers = rectifiers(discriminator, images, condition)
    with evaluating(discriminator), recorded(layers, [layer]) as outputs:
        discriminator(discriminator.views(images), condition)
    means = peaks_of(outputs[layer]).mean(0)  # (C,)
    order: list[int] = means.argsort(descending=True, stable=True).tolist()
    return order[:num]


@torch.enable_grad()
def guided_gradients(
    discriminator: Discriminator,
    images: Tensor,  # (N, C, H, W) in [-1, 1]
    layer: str,  # a name of `rectifiers`
    filters: Sequence[int],  # of that layer
    condition: Condition | None = None,
    watch: Callable[[range], Iterable[int]] = list,  # the images' positions, perhaps under a bar
) -> Tensor:
    """Guided gradient of each filter's largest activation in each image, (N, F, C, H, W).

    Each is of one neuron: that of the filter which the image activates most. It is zero where no
    neuron of the filter is activated. Networks are in evaluation mode inside.

    Raises:
        ValueError: no such layer or filter.
    """
    layers = rectifiers(discriminator, images, condition)
    layer = chosen_layer(layers, layer)
    inputs = images.detach().clone().requires_grad_()
    with evaluating(discriminator), guided(layers), recorded(layers, [layer]) as outputs:
        discriminator(discriminator.views(inputs), condition)
    peaks = peaks_of(outputs[layer])  # (N, filters)
    check_filters(filters, peaks.shape[1], layer)

    def gradient(n: int, channel: int) -> Tensor:
        """Of image n alone: minibatch statistics let an image's neurons see the others."""
        return torch.autograd.grad(peaks[n, channel], inputs, retain_graph=True)[0][n]

    rows = [torch.stack([gradient(n, f) for f in filters]) for n in watch(range(len(images)))]
    return torch.stack(rows).detach()


def check_filters(filters: Sequence[int], num: int, layer: str) -> None:
    """Raise ValueError unless these are filters of a layer of `num`."""
    wrong = [f for f in filters if not 0 <= f < num]
    if wrong or not filters:
        raise ValueError(
            f"study.filters={list(filters)}: layer {layer} has the filters 0 to {num - 1}"
        )
