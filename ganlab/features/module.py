"""A network of one's own as features: a class of a package, its weights from a file.

The class is named in `features.network` and its package in `allow_targets`; the file is a state
dict, opened for tensors alone. A program in a file, as TorchScript has it, is not run.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlab.features.base import Extractor
from ganlab.features.pixels import resize_antialiased
from ganlab.features.weights import WeightsFile


class Module(Extractor):
    """Features (N, feature_dim) of a network that maps normalized images to them.

    With `logits` it maps them to features and logits.

    Raises:
        ValueError: a name that cannot be part of a score's, or numbers that cannot be; names the
            key.
    """

    name = "module"

    def __init__(
        self,
        network: Callable[[], nn.Module] | None = None,  # builds it; to be named
        weights: str | Path | None = None,  # file of its state dict; to be named
        feature_dim: int | None = None,  # how many features it gives; to be named
        name: str = "module",  # part of the names of scores: letters, digits, underscores
        size: int | None = 224,  # side the images are resized to (bilinear, antialiased), px
        channels: int = 3,  # that it takes: 1 or 3
        mean: Sequence[float] = (0.485, 0.456, 0.406),  # of each, of values in [0, 1]
        std: Sequence[float] = (0.229, 0.224, 0.225),
        logits: bool = False,  # whether it gives them too
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        if network is None or weights is None or feature_dim is None:
            raise ValueError(
                "features=module needs features.network={_target_: <package>.<class>, _partial_: "
                "true}, allow_targets=[<package>], features.weights=<file> and feature_dim=<number>"
            )
        if not name.isidentifier():
            raise ValueError(f"features.name={name} should be letters, digits and underscores")
        if feature_dim < 1 or channels not in (1, 3) or (size is not None and size < 1):
            raise ValueError("features.feature_dim and size must be at least 1, channels 1 or 3")
        if len(mean) != channels or len(std) != channels or min(std) <= 0:
            raise ValueError(
                f"features.mean and std must be {channels} numbers each, and std above 0"
            )
        super().__init__(WeightsFile(Path(weights).expanduser()), select)
        self.construct, self.feature_dim, self.has_logits = network, feature_dim, logits
        self.size, self.channels, self.mean, self.std = size, channels, mean, std
        self.name = name + self.suffix
        normalized = "-".join(f"{value:g}" for value in (*mean, *std))
        kept = "none" if size is None else f"bilinear-antialias-{size}"
        self.resize = f"{kept}-mean-std-{normalized}"

    def build(self) -> nn.Module:
        """The network without weights."""
        return self.construct()

    def blank(self) -> nn.Module:
        """The network with the buffers that it makes itself, which no file has."""
        with torch.random.fork_rng(devices=[]):
            return self.build()

    def asked(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of what the network is given; (N, 0) logits if it has none.

        Raises:
            ValueError: other features than were announced.
        """
        found = self._loaded()(seen)
        features, logits = found if self.has_logits else (found, found[:, :0])
        if features.shape != (len(seen), self.feature_dim):
            raise ValueError(
                f"features.feature_dim={self.feature_dim}: the network gives "
                f"{tuple(features.shape[1:])}, not as many numbers an image"
            )
        return features, logits

    def fitted(self, grid: Tensor) -> Tensor:
        """Values 0..255, (N, channels, H, W), in the size and range that the network takes."""
        if self.size is not None:
            grid = resize_antialiased(grid, self.size, "bilinear")
        mean, std = (grid.new_tensor([*each]).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return (grid / 255 - mean) / std
