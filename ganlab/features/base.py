"""What every frozen feature extractor promises."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganlab.features.pixels import continuous, quantize, with_channels
from ganlab.features.weights import WeightsFile

ExtractorT = TypeVar("ExtractorT", bound="Extractor")


class Extractor(nn.Module):
    """A frozen network from images to features, with its own resizing and normalising.

    Takes float images in [-1, 1] of any size in 1 or 3 channels, or those of more channels that
    `select` names, puts them on the 8-bit grid, and
    always works in float32, in evaluation mode, without gradients. Construction is cheap and draws
    no random number: weights are read by `prepare`, or else by the first `forward`; only `prepare`
    may download.
    """

    name: str  # "classifier", "inception": the suffix of a score's name
    resize: str  # filter and size, as a score's record names them
    feature_dim: int
    channels: int  # what the network itself takes: 1 or 3
    has_logits: bool = True  # whether classes are told apart
    class_names: Sequence[str] = ()  # of the logits, in order, where they are known
    anchor: Tensor  # empty; remembers the device while there is no network yet to be moved

    def __init__(
        self,
        file: WeightsFile,  # where the network's weights are
        select: Sequence[int] | None = None,  # one channel of the images or three; None = all
    ) -> None:
        if select is not None and (len(select) not in (1, 3) or min(select) < 0):
            raise ValueError(f"features.select={[*select]} must be one channel or three, from 0")
        super().__init__()
        self.file, self.select = file, None if select is None else [*select]
        self.suffix = "" if select is None else f"_c{'_'.join(map(str, select))}"  # of its name
        if select is not None:
            self.name = type(self).name + self.suffix
        self.network: nn.Module | None = None
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        self.eval()

    @property
    def sha256(self) -> str:
        """Digest of the file of weights, 64 hexadecimal digits."""
        return self.file.digest

    def check_channels(self, channels: int) -> None:
        """Raise ValueError where it is not said which of so many channels it sees."""
        if self.select is not None and max(self.select) >= channels:
            raise ValueError(f"features.select={self.select}: the images have {channels} channels")
        if self.select is None and channels not in (1, 3):
            raise ValueError(
                f"features of {self.name} are of grey or RGB, and the images have {channels} "
                "channels: say which it sees, as features.select=[0,1,2], or leave scores out with "
                "scores=null"
            )

    def preflight(self) -> None:
        """Raise when the weights are not to be had: in about a second, or once pip has tried."""
        self.file.preflight()

    def prepare(self) -> None:
        """Fetch the weights if they are missing (once, into the cache) and load them."""
        self.file.fetch()
        self._loaded()

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map (N, C, H, W) to `features` (N, feature_dim), and `logits` (N, K) if it has any."""
        with torch.autocast(images.device.type, enabled=False):
            features, logits = self.asked(self.seen(images))
        return {"features": features, **({"logits": logits} if self.has_logits else {})}

    def unrounded_features(self, images: Tensor) -> Tensor:
        """Features (N, feature_dim) of pixels neither rounded nor clamped, with their gradient."""
        with torch.autocast(images.device.type, enabled=False):
            return self.asked(self.seen(images, rounded=False))[0]

    def asked(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of what the network is given; (N, 0) logits if it has none."""
        found: tuple[Tensor, Tensor] = self._loaded()(seen)
        return found

    def seen(
        self,
        images: Tensor,  # (N, C, H, W) in [-1, 1]
        rounded: bool = True,  # to the 8-bit grid, and clamped; False keeps the gradient
    ) -> Tensor:
        """What the network is given: the channels that were chosen, in its number, size and range.

        Raises:
            ValueError: it is not said which of so many channels it sees.
        """
        self.check_channels(images.shape[1])
        chosen = images if self.select is None else images[:, self.select]
        values = quantize(chosen) if rounded else continuous(chosen)
        return self.fitted(with_channels(values, self.channels, rounded))

    def fitted(self, grid: Tensor) -> Tensor:
        """8-bit values (N, channels, H, W) in the size and range the network takes."""
        raise NotImplementedError

    def build(self) -> nn.Module:
        """The network, which returns (features, logits); its weights are loaded afterwards."""
        raise NotImplementedError

    def blank(self) -> nn.Module:
        """The network as it is before its weights are read."""
        with torch.device("meta"):  # no memory, no time, no random numbers
            return self.build()

    def train(self: ExtractorT, mode: bool = True) -> ExtractorT:
        """Stay in evaluation mode, whatever is asked."""
        return super().train(False)

    def _loaded(self) -> nn.Module:
        if self.network is None:
            network = self.blank()
            network.load_state_dict(self.file.state(network), assign=True)
            self.network = network.to(self.anchor.device).eval().requires_grad_(False)
        return self.network


class StagedExtractor(Extractor):
    """A classifier in stages, each of which a semantic pyramid can be told.

    Its network has `stages(x) -> dict`, from fine to coarse, the logits last.
    """

    stage_names: tuple[str, ...]  # fine to coarse
    num_classes: int  # K, of the logits

    def stages(
        self,
        images: Tensor,  # (N, C, H, W) in [-1, 1], C as `forward` takes it
        differentiable: bool = False,  # keep the graph, so that losses reach the images
    ) -> dict[str, Tensor]:
        """Stage -> (N, C, H, W), or (N, C) of a fully connected one; float32, fine to coarse.

        Pixels are not rounded to 8 bits, which has no useful gradient and changes no stored image.
        """
        network = self._loaded()
        grad = differentiable and torch.is_grad_enabled()
        with torch.set_grad_enabled(grad), torch.autocast(images.device.type, enabled=False):
            seen = self.seen(images, rounded=False)
            found: dict[str, Tensor] = network.stages(seen)  # type: ignore[operator]
        return found

    def stage_shapes(
        self,
        size: int,  # H = W of the images, px
    ) -> dict[str, tuple[int, ...]]:
        """What `stages` gives of one image, (C, H, W) or (C,); reads no weights.

        Raises:
            ValueError: images of a size that the network does not take.
        """
        with torch.device("meta"):
            grid = self.fitted(torch.empty(1, self.channels, size, size))
            found: dict[str, Tensor] = self.build().stages(grid)  # type: ignore[operator]
        return {name: tuple(stage.shape[1:]) for name, stage in found.items()}
