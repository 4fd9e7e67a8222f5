"""What the study tests share: a small generator, a system, a data module, an extractor."""

from types import SimpleNamespace

import lightning
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ganlab.data.batch import Batch
from ganlab.metrics import FrechetDistance, PrecisionRecall, Suite
from ganlab.networks import base, dcgan
from ganlab.nn.randomness import keyed_generator
from ganlab.systems import system
from ganlab.systems.running_means import RunningMeans

NUM_REAL = 24


class ConvGenerator(base.Generator):
    """Three layers on 4x4 and 8x8 maps: leaky, with dead and with always-active channels."""

    latent_dim, resolution, channels = 6, 8, 1

    def __init__(self, seed: int = 0, constant: bool = False):
        super().__init__()
        self.first = nn.Linear(self.latent_dim, 5 * 16)
        self.second = nn.Conv2d(5, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 3, 3, padding=1)
        self.to_image = nn.Conv2d(3, 1, 1)
        self.activations = nn.ModuleList([nn.LeakyReLU(0.2), nn.LeakyReLU(0.2), nn.ReLU()])
        self.constant = constant
        rng = keyed_generator("toy", seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5)
            self.second.bias[0], self.second.bias[1] = -50.0, 50.0  # dead, always active

    @property
    def layers(self) -> dict[str, nn.Module]:
        names = ("4x4/0", "4x4/1", "8x8/0")
        return dict(zip(names, self.activations, strict=True))

    def forward(self, latents: Tensor, condition: base.Condition | None = None) -> Tensor:
        first = self.first(torch.ones_like(latents) if self.constant else latents)
        x = self.activations[0](first.view(-1, 5, 4, 4))
        x = self.activations[1](self.second(x) + (latents[:, :1, None, None] * self.constant))
        x = self.activations[2](self.third(nn.functional.interpolate(x, scale_factor=2)))
        return self.to_image(x).tanh()


def small_dcgan(seed: int = 0) -> dcgan.Generator:
    """A DCGAN of 32 px whose batch norms hold statistics, some channels dead on all latents."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = dcgan.Generator(resolution=32, channels=1, latent_dim=8, width=2)
        for module in generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                nn.init.normal_(module.weight, 1.0, 0.3)
                nn.init.normal_(module.bias, -0.3, 0.7)
                module.bias.data[0] = -20.0  # dead
        nn.init.normal_(generator.to_image.weight, 0, 0.5)
        generator(torch.randn(64, 8))  # takes its statistics
    return generator.eval()


class System(system.System):
    """Counts images and draws from the global generator as a training does."""

    def __init__(self, generator: base.Generator, kimg: float = 1.0, batch: int = 10):
        super().__init__()
        self.generator_ema = generator
        self.discriminator, self.recipe = None, {}
        self.weight = nn.Parameter(torch.zeros(()))
        self.automatic_optimization = False
        self.images_seen = self.images_before = 0
        self.kimg, self.batch, self.draws = kimg, batch, []
        self.running_means = RunningMeans()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.images_before = self.images_seen
        self.images_seen += self.batch
        self.draws.append(float(torch.rand(())))
        if self.images_seen >= self.kimg * 1000:
            self.trainer.should_stop = True

    def test_step(self, batch: Batch, batch_idx: int) -> None: ...

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], 0.1)


class Data(lightning.LightningDataModule):
    """Smooth random images in order; the loader draws from the global generator, as torch's do."""

    resolution, content_key = 8, None

    def __init__(self, num: int = NUM_REAL, channels: int = 1):
        super().__init__()
        rng = keyed_generator("toy reals")
        small = torch.rand(num, channels, 2, 2, generator=rng)
        grown = nn.functional.interpolate(small, size=(8, 8), mode="bilinear")
        self.dataset = (grown * 255).round().to(torch.uint8)
        self.served = 0

    def loader(self) -> DataLoader:
        self.served += 1
        items = [SimpleNamespace(image=x, index=i) for i, x in enumerate(self.dataset)]
        share = items[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(share, batch_size=7, collate_fn=collate)

    train_dataloader = test_dataloader = loader

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return Batch(batch.image.float() / 127.5 - 1, None, batch.index)


def collate(items) -> Batch:
    images = torch.stack([item.image for item in items])
    return Batch(images, None, torch.tensor([item.index for item in items]))


class Projection(nn.Module):
    """Random projections of an 8x8 thumbnail."""

    name, sha256, resize, feature_dim = "classifier", "ab" * 32, "area-8", 4

    def __init__(self):
        super().__init__()
        rng = keyed_generator("toy projection")
        self.register_buffer("weight", torch.randn(64, 4, generator=rng))
        self.checked = self.prepared = 0

    def preflight(self) -> None:
        self.checked += 1

    def prepare(self) -> None:
        self.prepared += 1

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        thumbnails = nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 8)
        return {"features": thumbnails.flatten(1) @ self.weight}

    def unrounded_features(self, images: Tensor) -> Tensor:
        return self(images)["features"]


def suite(num_real: int | None = NUM_REAL, num_fake: int = 20) -> Suite:
    metrics = {"fid": FrechetDistance(), "precision_recall": PrecisionRecall(k=3)}
    return Suite(Projection(), metrics, num_real, num_fake)


class Log(Logger):
    """A logger that remembers."""

    name, version = "memory", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args, **kwargs): ...


def trainer(*callbacks, logger=False, **options) -> lightning.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": logger}
    quiet["use_distributed_sampler"] = False
    plain = {"accelerator": "cpu", "devices": 1, "max_epochs": -1, "inference_mode": False}
    quiet["enable_checkpointing"] = False
    return lightning.Trainer(callbacks=list(callbacks), **(quiet | plain | options))
