"""The encoder of an autoencoder, plain or variational.

Kingma and Welling: "Auto-Encoding Variational Bayes" (arXiv:1312.6114), section 3: images to the
mean and log variance of a diagonal Gaussian over codes. Its shape is the discriminator of Radford
et al. (arXiv:1511.06434), so that with DCGAN's generator for a decoder the two halves mirror each
other; any generator with a normal prior can be the decoder.
"""

from torch import Tensor, nn

from ganlab.networks import base

RESOLUTIONS = (32, 64, 128, 256)


class Encoder(base.Encoder):
    """Strided convolutions, batch norm (not at the input) and LeakyReLU 0.2, then two heads.

    Raises:
        ValueError: a resolution that is no power of two from 32 to 256, or a width below 1.
    """

    def __init__(
        self,
        resolution: int = 32,  # power of two, 32 to 256
        channels: int = 3,  # of the image
        latent_dim: int = 100,  # Z, numbers in a code
        width: int = 64,  # channels of the finest hidden map, doubled at each coarser one
        max_width: int = 1024,  # cap on that doubling
    ) -> None:
        super().__init__()
        if resolution not in RESOLUTIONS:
            raise ValueError(
                "model.encoder.resolution (data.resolution) must be a power of two from 32 to 256 "
                f"for vae, got {resolution}"
            )
        if min(latent_dim, width, max_width) < 1:
            raise ValueError("model.encoder.latent_dim, width and max_width must be at least 1")
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        modules: list[nn.Module] = []
        size, incoming, last = resolution, channels, 2 if resolution == 32 else 4
        while size > last:
            outgoing = min(width if size == resolution else 2 * incoming, max_width)
            modules.append(nn.Conv2d(incoming, outgoing, 4, 2, 1, bias=not modules))
            modules += [nn.BatchNorm2d(outgoing)] if len(modules) > 1 else []
            modules.append(nn.LeakyReLU(0.2))
            size, incoming = size // 2, outgoing
        self.trunk = nn.Sequential(*modules)
        self.to_mean = nn.Conv2d(incoming, latent_dim, size)
        self.to_log_variance = nn.Conv2d(incoming, latent_dim, size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> mean and log variance of the code, (N, Z) each."""
        x = self.trunk(images)  # (N, width, last, last)
        return self.to_mean(x).flatten(1), self.to_log_variance(x).flatten(1)
