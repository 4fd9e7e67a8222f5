"""Batch norm by class, with running statistics a group."""

import pytest
import torch
from torch.nn import functional as F

from ganlab.nn.conditional import ConditionalBatchNorm


def layer(groups=1):
    torch.manual_seed(0)
    return ConditionalBatchNorm(3, 5, groups)


def inputs(seed=0, n=6, offset=0.0):
    rng = torch.Generator().manual_seed(seed)
    return offset + 2 * torch.randn(n, 3, 4, 4, generator=rng), torch.randn(n, 5, generator=rng)


def zeros(n=6):
    return torch.zeros(n, dtype=torch.int64)


def test_in_training_it_is_batch_norm_times_gain_plus_bias_of_the_embedding():
    norm = layer()
    x, embedding = inputs()
    y = norm(x, embedding, zeros())
    norm.eval()  # spectral norm's power iteration stands still: the weights are those just used
    for n in range(len(x)):
        for c in range(3):
            gain = 1 + norm.gain.weight[c] @ embedding[n]
            bias = norm.bias.weight[c] @ embedding[n]
            plain = (x[n, c] - x[:, c].mean()) / (x[:, c].var(correction=0) + 1e-5).sqrt()
            torch.testing.assert_close(y[n, c], gain * plain + bias, rtol=1e-4, atol=1e-5)


def test_vectors_are_normalized_too():
    norm = layer()
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    y = norm(x, torch.zeros(8, 5), zeros(8))
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)


def test_running_statistics_are_those_of_torch_for_the_groups_own_batches():
    norm, oracles = layer(2), [torch.nn.BatchNorm2d(3, affine=False) for _ in range(2)]
    for step in range(6):
        x, embedding = inputs(step, offset=5.0 * (step % 2))
        norm(x, embedding, zeros() + step % 2)
        oracles[step % 2](x)
    for group, oracle in enumerate(oracles):
        torch.testing.assert_close(norm.running_mean[group], oracle.running_mean)
        torch.testing.assert_close(norm.running_var[group], oracle.running_var)


def test_in_evaluation_each_sample_has_the_statistics_of_its_group():
    norm = layer(2)
    norm.running_mean.copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    norm.running_var.copy_(torch.tensor([[1.0, 4, 9], [2, 3, 4]]))
    norm.eval()
    x, embedding = inputs()
    group = torch.tensor([0, 1, 0, 1, 1, 0])
    y = norm(x, embedding, group)
    gain, bias = 1 + norm.gain(embedding), norm.bias(embedding)
    for n, g in enumerate(group.tolist()):
        mean, var = norm.running_mean[g], norm.running_var[g]
        plain = F.batch_norm(x[n : n + 1], mean, var)[0]
        torch.testing.assert_close(y[n], gain[n, :, None, None] * plain + bias[n, :, None, None])


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_the_input_and_the_embedding(training):
    norm = layer().train(training)
    x, embedding = (each.requires_grad_() for each in inputs())
    norm(x, embedding, zeros()).square().sum().backward()
    assert embedding.grad.any()
    assert x.grad.any()
