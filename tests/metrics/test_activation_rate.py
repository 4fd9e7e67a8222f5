import pytest
import torch
from scipy.stats import binomtest

from ganlab.metrics import ActivationRate, wilson_interval


def batch(num, seed):
    maps = torch.randn(num, 3, 2, 2, generator=torch.Generator().manual_seed(seed)).relu()
    return {"2x2/0": maps, "1x1/0": maps.mean((2, 3)) - 0.4}


def test_counts_neurons_above_zero():
    outputs = {"a": torch.tensor([[1.0, 0.0, -1.0], [2.0, 1e-30, -0.0], [3.0, 0.0, 5.0]])}
    rate = ActivationRate()
    rate.update(outputs)
    assert rate.compute()["a"].tolist() == [1, 1 / 3, 1 / 3]
    assert rate.compute()["a"].dtype == torch.float64
    counts, num_latents = rate.counts()
    assert counts["a"].tolist() == [3, 1, 1]
    assert (counts["a"].dtype, num_latents) == (torch.int64, 3)


def test_batches_do_not_matter_and_shapes_follow_the_layers():
    outputs = batch(50, 1)
    whole, parts = ActivationRate(), ActivationRate({"2x2/0": (3, 2, 2), "1x1/0": (3,)})
    whole.update(outputs)
    for start in range(0, 50, 8):
        parts.update({name: x[start : start + 8] for name, x in reversed(outputs.items())})
    for name, x in outputs.items():
        assert torch.equal(whole.compute()[name], parts.compute()[name])
        assert torch.equal(whole.compute()[name], (x > 0).double().mean(0))


def test_memory_does_not_grow_with_latents():
    rate = ActivationRate()
    sizes = set()
    for seed in range(4):
        rate.update(batch(10, seed))
        sizes.add(sum(state.numel() for state in rate.metric_state.values()))
    assert sizes == {3 * 2 * 2 + 3 + 1}


def test_reset_forgets_counts_but_not_shapes():
    rate = ActivationRate()
    rate.update(batch(10, 1))
    rate.reset()
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match="no latents"):
        rate.compute()
    rate.update(batch(10, 2))
    assert torch.equal(rate.compute()["1x1/0"], (batch(10, 2)["1x1/0"] > 0).double().mean(0))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"2x2/0": torch.ones(2, 3, 2, 2)}, "these outputs are"),
        ({"2x2/0": torch.ones(2, 3, 2, 1), "1x1/0": torch.ones(2, 3)}, "these outputs are"),
        ({"2x2/0": torch.ones(2, 3, 2, 2), "1x1/0": torch.ones(1, 3)}, "one batch size"),
    ],
)
def test_layers_that_disagree(outputs, message):
    rate = ActivationRate({"2x2/0": (3, 2, 2), "1x1/0": (3,)})
    with pytest.raises(ValueError, match=message):
        rate.update(outputs)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_agrees_with_scipy(confidence):
    successes, trials = torch.tensor([0, 1, 7, 20]), 20
    low, high = wilson_interval(successes.double() / trials, trials, confidence)
    for i, count in enumerate(successes.tolist()):
        expected = binomtest(count, trials).proportion_ci(confidence, method="wilson")
        assert low[i].item() == pytest.approx(expected.low, abs=1e-12)
        assert high[i].item() == pytest.approx(expected.high, abs=1e-12)


def test_wilson_interval_needs_latents():
    with pytest.raises(ValueError, match="num_latents >= 1"):
        wilson_interval(torch.zeros(1), 0)
