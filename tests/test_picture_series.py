"""Pictures of scales, of a sampling chain and of reconstructions: what is on them, and when."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from ganlab.callbacks import Reconstructions, Scales
from ganlab.data import ImageData
from ganlab.data.synthetic import Synthetic
from ganlab.networks import dcgan, lapgan
from ganlab.networks.base import Generator
from ganlab.nn.randomness import latents_at
from ganlab.report.images import to_uint8
from ganlab.systems.conditioning import Labels
from ganlab.systems.system import System
from ganlab.systems.trainer import make_trainer


class Ramp(Generator):
    """Images of 8, 16 and 32 px, each one flat colour that the latent gives."""

    latent_dim, resolution, channels = 3, 32, 1

    def forward(self, latents, condition=None):
        shades = latents.tanh()
        sizes = (8, 16, 32)
        return [shades[:, i, None, None, None].expand(-1, 1, s, s) for i, s in enumerate(sizes)]


class Ones(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.ones(10)


class Still(System):
    """A system that only counts images."""

    def __init__(self, generator, kimg=0.05):
        super().__init__()
        self.automatic_optimization = False
        self.generator_ema, self.kimg = generator.eval(), kimg
        self.images_seen = self.images_before = 0

    def configure_optimizers(self):
        return None

    def training_step(self, batch, batch_idx):
        self.images_before = self.images_seen
        self.images_seen += len(batch)
        self.trainer.should_stop = self.images_seen >= self.kimg * 1000


class Decoder(Still):
    """Reconstructs an image as its negative."""

    reconstructs = True

    def reconstruct(self, images):
        return -images

    def training_step(self, batch, batch_idx):
        super().training_step(batch.image, batch_idx)


def run(system, callback, **options):
    runner = make_trainer(accelerator="cpu", callbacks=[callback])
    loader = {} if options else {"train_dataloaders": DataLoader(Ones(), batch_size=None)}
    runner.fit(system, **options, **loader)


def body(path, rows, columns, size=64, gap=2):
    """The pictures' cells as (rows, columns, size, size), the captions on the left cut off."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    width = columns * (size + gap) + gap
    assert pixels.shape[0] == rows * (size + gap) + gap
    pixels = pixels[:, pixels.shape[1] - width :]
    return [
        [
            pixels[gap + r * (size + gap) :][:size, gap + c * (size + gap) :][:, :size]
            for c in range(columns)
        ]
        for r in range(rows)
    ]


def cell(image, size=64):
    """(C, H, W) as it should be drawn: every pixel a square."""
    return to_uint8(F.interpolate(image[None], size=(size, size), mode="nearest"))[0, 0].numpy()


def test_rows_are_scales_and_columns_are_latents(tmp_path):
    run(Still(Ramp()), Scales(tmp_path, every_kimg=0.02, num=3, seed=4))
    saved = sorted(path.name for path in (tmp_path / "samples" / "scales").glob("*.png"))
    assert saved == ["000000000.png", "000000020.png", "000000040.png", "000000050.png"]
    expected = Ramp()(latents_at(Ramp(), range(3), 4))
    for row, images in zip(body(tmp_path / "figures" / "scales.png", 3, 3), expected, strict=True):
        for drawn, image in zip(row, images, strict=True):
            assert np.array_equal(drawn, cell(image))


def test_a_chain_shows_each_step_of_the_pyramid(tmp_path):
    torch.manual_seed(0)
    generator = lapgan.Generator(32, channels=1, coarse_latent_dim=5, hidden=(8,), width=4)
    run(Still(generator), Scales(tmp_path, every_kimg=1, num=2))
    rows = body(tmp_path / "figures" / "scales.png", 7, 2)
    with torch.no_grad():
        images = generator(latents_at(generator, range(2), 0))
    for position, scale in zip((0, 3, 6), images, strict=True):
        for drawn, image in zip(rows[position], scale, strict=True):
            assert np.array_equal(drawn, cell(image))


def test_single_images_give_no_picture(tmp_path):
    generator = dcgan.Generator(32, channels=1, latent_dim=4, width=4)
    run(Still(generator), Scales(tmp_path, every_kimg=0.01))
    run(Still(generator), Reconstructions(tmp_path, every_kimg=0.01))
    assert not list(tmp_path.rglob("*.png"))


def test_reconstructions_stand_below_the_first_images_of_the_data(tmp_path):
    data = ImageData(Synthetic(num=20), resolution=32, channels=1, batch_size=10)
    run(Decoder(Ramp()), Reconstructions(tmp_path, every_kimg=0.03, num=4), datamodule=data)
    saved = sorted(path.name for path in (tmp_path / "samples" / "reconstructions").glob("*.png"))
    assert saved == ["000000000.png", "000000030.png", "000000050.png"]
    images, decoded = body(tmp_path / "figures" / "reconstructions.png", 2, 4)
    for position in range(4):
        real = data.dataset.images([position])[0] / 127.5 - 1
        assert np.array_equal(images[position], cell(real))
        assert np.array_equal(decoded[position], cell(-real))


def test_a_conditional_generator_is_told_what_its_conditioner_says(tmp_path):
    class Told(Ramp):
        def forward(self, latents, condition=None):
            shade = condition.label.float()[:, None].expand(-1, 3) / 4
            return super().forward(torch.atanh(shade - 0.5))

    system = Still(Told())
    system.conditioner = Labels(3)
    run(system, Scales(tmp_path, every_kimg=1, num=4))
    rows = body(tmp_path / "figures" / "scales.png", 3, 4)
    greys = [to_uint8(torch.tensor([i % 3 / 4 - 0.5])).item() for i in range(4)]
    assert [[int(drawn[0, 0]) for drawn in row] for row in rows] == [greys] * 3


def test_pictures_of_a_future_that_did_not_happen_are_removed(tmp_path):
    folder = tmp_path / "samples" / "scales"
    folder.mkdir(parents=True)
    (folder / "000000040.png").write_bytes(b"")
    (folder / "notes.png").write_bytes(b"")
    run(Still(Ramp(), kimg=0.01), Scales(tmp_path, every_kimg=1))
    names = {path.name for path in folder.glob("*.png")}
    assert names == {"000000000.png", "000000010.png", "notes.png"}


def test_the_global_random_stream_is_left_alone(tmp_path):
    class Noisy(Ramp):
        def forward(self, latents, condition=None):
            return super().forward(latents + torch.randn_like(latents))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    system = Still(Noisy())
    first = Scales(tmp_path, every_kimg=1).picture(None, system)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first, Scales(tmp_path, every_kimg=1).picture(None, system))


@pytest.mark.parametrize("callback", [Scales, Reconstructions])
def test_what_cannot_be_is_refused_by_name(callback, tmp_path):
    with pytest.raises(ValueError, match=rf"callbacks\.{callback.name}\.num must be at least 1"):
        callback(tmp_path, every_kimg=1, num=0)
