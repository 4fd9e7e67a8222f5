"""Multi-scale structural similarity among generated images: the diversity score of ProGAN.

Wang, Simoncelli, Bovik 2003 (the similarity, windows as in Wang et al. 2004); Odena et al. 2017,
arXiv 1610.09585, section 4.2, and Karras et al. 2018, arXiv 1710.10196, section 5 (its mean over
pairs of generated images).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ganlab.metrics.points import StoredPoints

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weight of each scale, fine to coarse (Wang 2003)
WINDOW, SIGMA = 11, 1.5  # px, side and standard deviation of the Gaussian window (Wang 2004)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # what keeps quotients finite (Wang 2004)


class MultiScaleSimilarity(StoredPoints):
    """Mean MS-SSIM of pairs of generated images, 0 .. 1: the higher, the more alike they are.

    Pair i is images 2i and 2i + 1. Only generated images count; compare with the same score of
    reals. Images too small for five scales are scored at fewer, with the weights of these scaled to
    sum 1, and the name says how many.
    """

    higher_is_better = False
    parts = ("ms_ssim",)

    def __init__(
        self,
        num_pairs: int = 5000,  # pairs of generated images, of which only so many are kept
        num_scales: int = 5,  # resolutions, each half the one before; 5 need 161 px, 2 need 21
        batch_size: int = 100,  # pairs compared at once
    ) -> None:
        super().__init__("pixels")
        if num_pairs < 1 or batch_size < 1 or not 1 <= num_scales <= len(BETAS):
            raise ValueError(
                f"MS-SSIM needs num_pairs, batch_size >= 1 and num_scales 1 .. {len(BETAS)}, not "
                f"{num_pairs}, {batch_size} and {num_scales}"
            )
        self.num_pairs, self.num_scales, self.batch_size = num_pairs, num_scales, batch_size
        scales = "" if num_scales == len(BETAS) else f"s{num_scales}"
        self.protocol = "_".join(filter(None, (f"pairs{num_pairs}", scales)))

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where there are fewer images than the pairs need."""
        if num_fake < 2 * self.num_pairs:
            raise ValueError(
                f"MS-SSIM num_pairs={self.num_pairs} needs {2 * self.num_pairs} generated images, "
                f"not {num_fake}: lower num_pairs or raise metrics.num_fake"
            )

    def check_resolution(self, resolution: int) -> None:
        """Raise ValueError where images of this side are too small for so many scales."""
        check_scales(resolution, self.num_scales)

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Keep generated images, float in [-1, 1], (N, C, H, W), that belong to a pair."""
        if real:
            return
        self.check_resolution(min(features.shape[2:]))
        index = self.index_of(features, "fake", index)
        kept = (index < 2 * self.num_pairs).to(features.device)
        super().update(features[kept], real, index[kept.to(index.device)])

    def compute(self) -> dict[str, Tensor]:
        """`ms_ssim`, float64."""
        images = self.rows("fake").unflatten(1, self.fake_shape.tolist())  # (2 num_pairs, C, H, W)
        self.check_sizes(None, len(images))
        values = [
            similarities(pairs[0::2], pairs[1::2], self.num_scales)
            for pairs in images.split(2 * self.batch_size)
        ]
        return {"ms_ssim": torch.cat(values).mean()}


def similarities(images_a: Tensor, images_b: Tensor, num_scales: int = 5) -> Tensor:
    """MS-SSIM of each pair of images with values 0 .. 255, (N, C, H, W) twice -> (N,) float64.

    Contrast and structure of every scale, luminance of the coarsest (Wang 2003, equation 7), each
    averaged over the windows that lie wholly inside the image, as the authors' program does; a
    negative average counts as 0.
    """
    images_a, images_b = images_a.double(), images_b.double()
    weights = torch.tensor(BETAS[:num_scales], dtype=torch.float64, device=images_a.device)
    factors = []
    for scale in range(num_scales):
        if scale:
            images_a, images_b = halve(images_a), halve(images_b)
        luminance, contrast = compare_windows(images_a, images_b)  # each (N, C, H - 10, W - 10)
        last = scale == num_scales - 1
        factors.append((luminance * contrast if last else contrast).mean(dim=(1, 2, 3)))
    return torch.stack(factors, 1).relu().pow(weights / weights.sum()).prod(1)


def halve(images: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; of what there is of them at an odd border."""
    return F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)


def compare_windows(images_a: Tensor, images_b: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, of all windows inside two images.

    Wang, Bovik, Sheikh, Simoncelli 2004, equations 6 and 13 without its first factor.
    """
    squares = torch.cat((images_a**2, images_b**2, images_a * images_b))
    mean_a, mean_b = blur(images_a), blur(images_b)
    square_a, square_b, product = blur(squares).chunk(3)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return luminance, (2 * (product - mean_a * mean_b) + C2) / (variances + C2)


def blur(images: Tensor) -> Tensor:
    """Weighted means over all windows inside, (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    place = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    window = torch.softmax(-(place**2) / (2 * SIGMA**2), 0)
    rows = F.conv2d(images.flatten(0, 1)[:, None], window.view(1, 1, -1, 1))
    columns = F.conv2d(rows, window.view(1, 1, 1, -1))[:, 0]
    means: Tensor = columns.unflatten(0, images.shape[:2])
    return means


def check_scales(side: int, num_scales: int) -> None:
    """Raise ValueError where images of this side, in pixels, are too small for so many scales."""
    largest = sum(math.ceil(side / 2**scale) >= WINDOW for scale in range(len(BETAS)))
    if num_scales > largest:
        way_out = f"set num_scales={largest}" if largest else f"it takes {WINDOW} px and more"
        raise ValueError(
            f"MS-SSIM num_scales={num_scales} needs larger images than {side} px: {way_out}"
        )
