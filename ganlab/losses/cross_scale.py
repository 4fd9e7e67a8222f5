"""What ties the scales of a multi-scale generator's sample together.

A discriminator that sees every scale makes each of them look real, not that all of them show one
image. Hyun, Lee, Heo 2026: "Cross-scale Aligned Supervision for Training GANs" (arXiv:2605.26449)
align the outputs of a transformer's stages with the last one; this is their term on images, in the
call shape of `losses.semantic`.
"""

import torch
from torch import Tensor

from ganlab.losses.penalties import Images, scales
from ganlab.nn.resample import downsample_average


def cross_scale(
    images: Images,  # scales of each sample, coarse to fine, their sides powers of two apart
    latents: Tensor,
    condition: object,
    stages: object,
    *,
    weight: float = 0.1,
) -> Tensor:
    """weight mean_k E (x_k - D_k(x_K))^2 over the coarser scales k of the finest image x_K.

    D_k averages squares of pixels. The finest image is the anchor: it gets no gradient.

    Raises:
        ValueError: images of one scale.
    """
    *coarser, finest = scales(images)
    if not coarser:
        raise ValueError(
            "losses.cross_scale ties scales together, and the generator makes one: model=msg_gan "
            "makes several"
        )
    anchors = [
        downsample_average(finest.detach(), finest.shape[-1] // x.shape[-1]) for x in coarser
    ]
    errors = [(x - anchor).square().mean() for x, anchor in zip(coarser, anchors, strict=True)]
    return weight * torch.stack(errors).mean()
