"""Radial power against closed forms, and the study against the pure function."""

import math

import numpy as np
import pytest
import torch
from study_toys import small_dcgan
from styled_toys import System, trainer

from ganlab.data import synthetic
from ganlab.sampling import Sampler
from ganlab.studies import Spectrum, Study
from ganlab.studies.images.spectrum import power


@pytest.mark.parametrize("frequency", [1, 3, 8])
def test_a_wave_has_its_power_at_its_frequency(frequency):
    """cos(2 pi f x / 16) of height 16: mean square 1/2 in two of the ring's frequencies."""
    wave = torch.cos(2 * math.pi * frequency * torch.arange(16.0) / 16).expand(1, 1, 16, 16)
    found = power(wave)
    assert found.shape == (9,)
    assert found.argmax() == frequency
    assert found.sum() == pytest.approx(found[frequency].item())


def test_white_noise_is_flat_and_a_flat_image_is_all_at_zero():
    noise = torch.randn(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(power(noise) / 400, torch.ones(9).double(), rtol=0.15, atol=0)
    flat = power(torch.full((2, 1, 8, 8), 0.5))
    torch.testing.assert_close(flat, torch.tensor([2 * 0.25 * 64, 0, 0, 0, 0]).double())


def test_rings_are_those_of_a_loop():
    images = torch.randn(2, 2, 6, 8, generator=torch.Generator().manual_seed(1))
    totals, counts = np.zeros(5), np.zeros(5)
    for row in range(6):
        for column in range(8):
            y, x = (row + 3) % 6 - 3, (column + 4) % 8 - 4
            ring = round(math.hypot(y, x))
            if ring <= 4:
                value = np.fft.fft2(images.double().numpy())[..., row, column]
                totals[ring] += (np.abs(value) ** 2).mean(1).sum() / 48
                counts[ring] += 1
    np.testing.assert_allclose(power(images).numpy(), totals / counts)


def test_the_study_compares_the_generator_with_the_data(tmp_path):
    system = System(small_dcgan())
    data = synthetic(num=12, resolution=32, channels=1, batch_size=4, seed=0)
    study = Study(Spectrum(num=10, directory=tmp_path, batch_size=4))
    trainer(study).test(system, datamodule=data, verbose=False)
    fakes = power(Sampler(system.generator_ema, 0).images(range(10))) / 10
    reals = data.dataset.images(torch.arange(10)).float() / 127.5 - 1
    expected = 10 * (fakes / (power(reals) / len(reals))).log10()
    found = torch.tensor(list(study.findings.result.values()))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} >= {
        *("table.csv", "table.md", "table.tex", "spectrum.png", "spectrum.npz")
    }
