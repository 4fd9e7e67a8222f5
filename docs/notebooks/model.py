# %% [markdown]
# # A custom model
#
# A generator of your own, in a notebook: an image as a function of its coordinates, the latent its parameters (a
# compositional pattern-producing network). It learns the colour pictures inside the package at 32 px and then
# paints them at any size. All that ganlab asks of it is a latent's width, an image's shape and a name for each layer;
# then it trains, resumes, and every study knows it. What works is moved into
# [a package of your own](../extending.md), where a YAML names it.

# %% tags=["parameters"]
kimg = 8  # thousands of images that it sees
width = 64  # of the generator's layers
num_latents = 200  # for rates of neurons

# %%
import torch
from torch import nn

from ganlab.networks.base import Generator


class Painter(Generator):
    def __init__(self, resolution=32, width=64, latent_dim=32):
        super().__init__()
        self.resolution, self.channels, self.latent_dim = resolution, 3, latent_dim
        self.place = nn.Conv2d(2 * 2 * 4, width, 1)  # sines of y and x at four frequencies
        self.latent = nn.Linear(latent_dim, 3 * width)
        self.mixing = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in range(3)])
        self.active = nn.ModuleList([nn.LeakyReLU(0.1) for _ in range(3)])
        self.paint = nn.Conv2d(width, self.channels, 1)

    @property
    def layers(self):
        return {f"{self.resolution}x{self.resolution}/{i}": a for i, a in enumerate(self.active)}

    def coordinates(self):  # (1, 16, H, W)
        axis = torch.linspace(-1, 1, self.resolution)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        waves = [f(2**k * c) for k in range(4) for c in (y, x) for f in (torch.sin, torch.cos)]
        return torch.stack(waves)[None].to(self.place.weight)

    def forward(self, latents, condition=None):  # (N, Z) -> (N, 3, H, W)
        x = self.place(self.coordinates())
        shifts = self.latent(latents).unflatten(1, (3, -1))[..., None, None]  # (N, 3, width, 1, 1)
        for i, (mix, active) in enumerate(zip(self.mixing, self.active, strict=True)):
            x = active(mix(x) * (1 + shifts[:, i]))
        return torch.tanh(self.paint(x))


# %% [markdown]
# ## Train it
#
# Against the discriminator of a DCGAN, with the loss and the optimizers of your choice. The one training step is
# everybody's: the clock in images, the average, the draws by address and the exact resume come with it.

# %%
from functools import partial

from torch.optim import Adam

from ganlab.callbacks import Progress
from ganlab.data import emoji
from ganlab.losses import Nonsaturating
from ganlab.networks import dcgan
from ganlab.systems import GAN
from ganlab.systems.trainer import make_trainer

torch.manual_seed(0)  # of the networks' first weights; a recipe does this by its seed
adam = partial(Adam, lr=0.001, betas=(0.5, 0.99))
gan = GAN(
    Painter(width=width),
    dcgan.Discriminator(32, 3, width=20),
    Nonsaturating(),
    generator_optimizer=adam,
    discriminator_optimizer=partial(adam, lr=0.0003),
    kimg=kimg,
)
data = emoji(resolution=32, channels=3, batch_size=32)
trainer = make_trainer(accelerator="cpu", callbacks=[Progress(every_kimg=kimg / 5)])
trainer.fit(gan, datamodule=data)

# %%
from ganlab.report.drawings import Picture
from ganlab.report.images import grid
from ganlab.sampling import Sampler

sampler = Sampler.of(gan, seed=0)
Picture(grid(sampler.images(range(48)), columns=16))  # 48 samples, none picked

# %% [markdown]
# The same latents at four times the size: the network is a function of where, not of how many pixels.

# %%
large = Painter(resolution=128, width=width)
large.load_state_dict(gan.generator_ema.state_dict())
Picture(grid(Sampler(large, seed=0).images(range(7)), columns=7))  # seven samples at 128 px

# %% [markdown]
# ## Look into it
#
# Its layers have names, so its neurons have addresses.

# %%
from ganlab.report.tables import Table
from ganlab.studies.neurons import rates

rate = rates.activation_rates(sampler, range(num_latents))
rows = [
    [name, values.numel(), (values <= 0.1).float().mean().item()] for name, values in rate.items()
]
Table.of(["layer", "neurons", "activated by a tenth of latents or fewer"], rows)
