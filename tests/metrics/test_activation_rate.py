import pytest
import torch
from scipy.stats import binomtest

from ganlab.metrics import ActivationRate, NearZero, wilson_interval


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", ["plain", "channels last", "strided"])
def test_counts_are_those_of_a_loop_in_every_type_and_layout(dtype, layout):
    maps = batch(300, 3)["2x2/0"].to(dtype) - 0.5
    maps[5, 1], maps[7, 0] = torch.nan, torch.inf
    if layout == "channels last":
        maps = maps.to(memory_format=torch.channels_last)
    if layout == "strided":
        maps = maps.repeat(2, 1, 1, 2)[::2, :, :, ::2]
    rate, near = ActivationRate(), NearZero(tolerance=0.25)
    rate.update({"a": maps})
    near.update({"a": maps})
    plain = maps.float().reshape(len(maps), -1).T.tolist()
    assert rate.counts()[0]["a"].flatten().tolist() == [sum(v > 0 for v in row) for row in plain]
    expected = [sum(abs(v) <= 0.25 for v in row) for row in plain]
    assert near.counts()[0]["a"].flatten().tolist() == expected


def test_near_zero_is_of_either_sign_and_holds_its_bounds():
    given = torch.tensor([[1e-5, -1e-5, 2e-5, 0.0, -3e-6, 1.0]])
    near = NearZero()
    near.update({"a": given})
    near.update({"a": -given})
    assert near.counts()[0]["a"].tolist() == [2, 2, 0, 2, 2, 0]
    assert given[0, 4] == -3e-6, "what was given is left as it was"


def test_counts_go_on_where_they_were():
    first, whole = ActivationRate(), ActivationRate()
    second = ActivationRate({"2x2/0": (3, 2, 2), "1x1/0": (3,)})
    for seed, parts in ((1, [first, whole]), (2, [second, whole])):
        if seed == 2:
            second.add(*first.counts())
        for part in parts:
            part.update(batch(10, seed))
    assert second.counts()[1] == 20
    for name, rate in whole.compute().items():
        assert torch.equal(second.compute()[name], rate)
    with pytest.raises(ValueError, match="but these outputs are"):
        second.add({"1x1/0": torch.zeros(3)}, 1)
    alone = ActivationRate({"1x1/0": (3,)})
    alone.add({"1x1/0": alone.count(batch(10, 1)["1x1/0"])}, 10)
    assert torch.equal(alone.compute()["1x1/0"], first.compute()["1x1/0"])
