"""The theory of peaks after a norm, against loops over planted peaks and the paper's formulas."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "amplification.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("amplification", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CHANNELS, module.SIDE = 16, 32
    module.PIXELS, module.CARRIERS, module.HEIGHTS = [1, 16, 512], [1, 4, 16], [8.0, 1000.0]
    return module


def slowly(kind, maps, peak):
    """The mean of a peak after IN or PN, by loops over channels or pixels (eqs. 3 to 6)."""
    x, out = maps[0].double().numpy(), np.zeros(maps.shape[1:])
    if kind == "in":
        for c in range(len(x)):
            out[c] = (x[c] - x[c].mean()) / np.sqrt(x[c].var())
    else:
        for y, z in np.ndindex(x.shape[1:]):
            out[:, y, z] = x[:, y, z] / np.sqrt((x[:, y, z] ** 2).mean())
    return out[peak.numpy()].mean()


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("pixels", "carriers", "height"), [(3, 1, 1000.0), (40, 5, 9.0)])
def test_what_is_measured_is_the_norm_of_the_planted_peak(bench, rho, pixels, carriers, height):
    rng = torch.Generator().manual_seed(1)
    maps, peak = bench.planted(pixels, carriers, height, rng)
    assert peak.sum() == pixels * carriers
    assert (maps[0][peak] == height).all()
    assert maps[0][~peak].std() == pytest.approx(1, abs=0.05)
    expected = rho * slowly("pn", maps, peak) + (1 - rho) * slowly("in", maps, peak)
    found = bench.measured(rho, pixels, carriers, height, torch.Generator().manual_seed(1))
    assert found == pytest.approx(expected, rel=1e-4)


def test_predictions_are_the_papers(bench):
    alpha = np.array([0.001, 0.1, 0.5])
    np.testing.assert_allclose(
        bench.predicted_in(alpha, 1e6), np.sqrt((1 - alpha) / alpha), rtol=1e-6
    )  # the end of eq. 2
    mu_1, mu_2, var_1, var_2 = 30.0, 0.0, 0.0, 1.0  # its middle, term by term
    mean = alpha * mu_1 + (1 - alpha) * mu_2
    var = alpha * var_1 + (1 - alpha) * var_2 + alpha * (1 - alpha) * (mu_1 - mu_2) ** 2
    np.testing.assert_allclose(bench.predicted_in(alpha, mu_1), (mu_1 - mean) / np.sqrt(var))
    assert bench.predicted_pn(1 / 64, 1e6) == pytest.approx(8)  # at most sqrt(C) in one channel
    assert bench.predicted_pn(1.0, 5.0) == pytest.approx(1)  # shared by all: 1, whatever alpha


def test_theory_and_measurement_agree_and_are_written(bench, tmp_path, monkeypatch, capsys):
    out, picture = tmp_path / "a.json", tmp_path / "a.png"
    words = ["amplification.py", "--seed", "3", "--out", str(out), "--figure", str(picture)]
    monkeypatch.setattr(sys, "argv", words)
    bench.main()
    result = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert result["seed"] == 3
    assert result["commit"]
    gaps = [
        abs(a / b - 1)
        for kind in ("alpha", "share", "height")
        for pair in result[kind]["heights"].values()
        for a, b in zip(pair["measured"], pair["predicted"], strict=True)
    ]
    assert result["largest_relative_difference"] == pytest.approx(max(gaps))
    assert max(gaps) < 0.15, "16 channels of noise are few"
    assert result["alpha"]["x"] == [1 / 1024, 16 / 1024, 0.5]
    ends = result["measured"]
    assert ends["alpha_1_of_1024"]["in"] == result["alpha"]["heights"]["in"]["measured"][0]
    assert ends["channels_4_of_16"]["pn"] == result["share"]["heights"]["pn"]["measured"][1]
    assert ends["alpha_1_of_1024"]["in"] > ends["alpha_1_of_1024"]["pn"]
    with Image.open(picture) as image:
        assert min(image.size) > 300
