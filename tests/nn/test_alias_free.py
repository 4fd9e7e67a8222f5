"""Filters against scipy, resampling one step after the other, a nonlinearity of a constant."""

import numpy as np
import pytest
import torch
from resampled import plain_resample
from scipy import signal as dsp
from scipy import special

from ganlab.networks.stylegan3 import schedule
from ganlab.nn.alias_free import (
    FilteredLeakyReLU,
    Filters,
    Signal,
    lowpass,
    radial_lowpass,
    zoom_in,
    zoom_out,
)


class TestFilters:
    @pytest.mark.parametrize(
        ("taps", "cutoff", "half", "rate"), [(12, 2.0, 6.0, 32), (24, 8, 9, 128)]
    )
    def test_the_separable_filter_is_the_kaiser_design(self, taps, cutoff, half, rate):
        expected = dsp.firwin(taps, cutoff, width=2 * half, fs=rate)
        np.testing.assert_allclose(lowpass(taps, cutoff, half, rate), expected, atol=1e-7)

    def test_the_radial_filter_is_a_windowed_jinc(self):
        taps, cutoff, half, rate = 12, 3.0, 5.0, 32
        beta = dsp.kaiser_beta(dsp.kaiser_atten(taps, 2 * half / (rate / 2)))
        window = np.kaiser(taps, beta)
        expected = np.empty((taps, taps))
        for i in range(taps):
            for j in range(taps):
                r = np.hypot(i - 5.5, j - 5.5) / rate
                jinc = special.j1(2 * np.pi * cutoff * r) / r
                expected[i, j] = jinc * window[i] * window[j]
        expected /= expected.sum()
        np.testing.assert_allclose(radial_lowpass(taps, cutoff, half, rate), expected, atol=1e-7)

    def test_the_stopband_is_down_as_kaiser_promises(self):
        """What passes at f_c keeps half its amplitude; past f_t the attenuation A holds."""
        signal = schedule(256)[4]
        taps, rate = 12, 2 * signal.rate
        line = lowpass(taps, signal.cutoff, signal.half_width, rate).double().numpy()
        frequencies, response = dsp.freqz(line, worN=4096, fs=rate)
        gain = np.abs(response)
        attenuation = dsp.kaiser_atten(taps, 2 * signal.half_width / (rate / 2))
        assert gain[0] == pytest.approx(1)
        assert np.interp(signal.cutoff, frequencies, gain) == pytest.approx(0.5, abs=0.05)
        stopped = gain[frequencies >= signal.cutoff + signal.half_width]
        assert 20 * np.log10(stopped.max()) < -0.9 * attenuation

    def test_a_radial_filter_looks_the_same_from_all_sides(self):
        plane = radial_lowpass(12, 3.0, 5.0, 32).double()
        x = (torch.arange(12, dtype=torch.float64) - 5.5) / 32

        def gain(angle: float, frequency: float) -> float:
            along = x[:, None] * np.cos(angle) + x[None, :] * np.sin(angle)
            return float((plane * (2 * np.pi * frequency * along).cos()).sum())

        for frequency in (1.0, 3.0, 5.0):
            gains = [gain(angle, frequency) for angle in np.linspace(0, np.pi / 4, 5)]
            assert max(gains) - min(gains) < 0.02


class TestResampling:
    @pytest.mark.parametrize(("up", "padding"), [(2, (5, 4)), (4, (-3, 7)), (1, (0, 0))])
    def test_zoom_in_is_zeros_and_a_filter(self, up, padding):
        x, taps = torch.randn(2, 3, 9, 9), lowpass(6 * up, 2.0, 6.0, 16 * up)
        expected = plain_resample(x, taps, up, 1, padding) * up**2
        torch.testing.assert_close(zoom_in(x, taps, up, padding), expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("design", [lowpass, radial_lowpass])
    def test_zoom_out_is_a_filter_and_every_other_sample(self, design):
        x, taps = torch.randn(2, 3, 30, 30), design(12, 2.0, 6.0, 32)
        expected = plain_resample(x, taps, 1, 2, (0, 0))
        torch.testing.assert_close(zoom_out(x, taps, 2), expected, atol=1e-5, rtol=1e-4)

    def test_a_constant_stays_one(self):
        ends = Signal(4.0, 8.0, 16, 36), Signal(8.0, 14.0, 32, 52)
        activation = FilteredLeakyReLU(*ends, 36, Filters(), critical=False, clamp=None)
        with torch.no_grad():
            out = activation(torch.full((1, 2, 36, 36), 3.0))[:, :, 16:-16, 16:-16]
        torch.testing.assert_close(out, torch.full_like(out, 3 * 2**0.5), rtol=1e-3, atol=0)
