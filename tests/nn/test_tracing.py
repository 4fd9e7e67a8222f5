"""Hooks come and go with their context, and later layers see what earlier edits left."""

import pytest
import torch
from torch import Tensor, nn

from ganlab.nn.tracing import Reached, edited, guided, observed, recorded


class Chain(nn.Module):
    """y = 2x, then y + 1, then y^2: three layers whose edits are easy to follow by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = Double(), Increment(), Square()

    @property
    def layers(self) -> dict[str, nn.Module]:
        return {"4x4/0": self.first, "8x8/0": self.second, "16x16/0": self.third}

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.second(self.first(x)))


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Increment(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


@pytest.fixture
def chain() -> Chain:
    return Chain()


X = torch.tensor([1.0, -2.0])


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def test_recorded_keeps_every_layers_output_in_firing_order(chain):
    with recorded(chain.layers) as activations:
        assert activations == {}
        result = chain(X)
    assert list(activations) == ["4x4/0", "8x8/0", "16x16/0"]
    assert [activations[name].tolist() for name in activations] == [[2, -4], [3, -3], [9, 9]]
    assert activations["16x16/0"] is result


def test_recorded_follows_the_pass_and_not_the_mapping(chain):
    with recorded(dict(reversed(chain.layers.items()))) as activations:
        chain(X)
    assert list(activations) == ["4x4/0", "8x8/0", "16x16/0"]


def test_recorded_watches_the_chosen_layers_only(chain):
    with recorded(chain.layers, ["8x8/0"]) as activations:
        assert hooks(chain) == 1
        chain(X)
    assert list(activations) == ["8x8/0"]


def test_a_second_pass_replaces_the_first(chain):
    with recorded(chain.layers) as activations:
        chain(X)
        chain(X + 1)
    assert activations["4x4/0"].tolist() == [4, -2]


def test_recorded_leaves_result_and_graph_alone(chain):
    plain = chain(X)
    x = X.clone().requires_grad_()
    with recorded(chain.layers) as activations:
        result = chain(x)
    assert torch.equal(result, plain)
    (slope,) = torch.autograd.grad(result.sum(), activations["4x4/0"])  # d(y + 1)^2 / dy
    assert slope.tolist() == [6, -6]


def test_an_edit_replaces_the_output_for_later_layers(chain):
    with edited(chain.layers, {"4x4/0": lambda x: x * 0}):
        assert chain(X).tolist() == [1, 1]
    assert chain(X).tolist() == [9, 9]


def test_a_later_edit_sees_what_an_earlier_one_left(chain):
    seen = []

    def note(x: Tensor) -> Tensor:
        seen.append(x.tolist())
        return x.clamp(min=0)

    edits = {"8x8/0": note, "4x4/0": lambda x: x - 4}  # network order counts, not this one
    with edited(chain.layers, edits):
        assert chain(X).tolist() == [0, 0]
    assert seen == [[-1, -7]]


@pytest.mark.parametrize("inner_first", [True, False])
def test_recording_and_editing_together(chain, inner_first):
    """What is recorded at an edited layer depends on which context was entered first."""
    edits = {"4x4/0": lambda x: x + 10}
    if inner_first:
        with edited(chain.layers, edits), recorded(chain.layers) as activations:
            chain(X)
    else:
        with recorded(chain.layers) as activations, edited(chain.layers, edits):
            chain(X)
    assert activations["4x4/0"].tolist() == ([12, 6] if inner_first else [2, -4])
    assert activations["8x8/0"].tolist() == [13, 7]  # later layers see the edit either way


@pytest.mark.parametrize("context", ["recorded", "edited"])
def test_hooks_are_gone_after_exit_and_after_an_error(chain, context):
    def entered():
        if context == "recorded":
            return recorded(chain.layers)
        return edited(chain.layers, dict.fromkeys(chain.layers, torch.clone))

    with entered():
        assert hooks(chain) == 3
    assert hooks(chain) == 0
    with pytest.raises(RuntimeError, match="in the pass"), entered():
        raise RuntimeError("in the pass")
    assert hooks(chain) == 0


def test_an_edit_that_fails_leaves_no_hook(chain):
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("in the edit")

    with pytest.raises(RuntimeError, match="in the edit"), edited(chain.layers, {"8x8/0": broken}):
        chain(X)
    assert hooks(chain) == 0
    assert chain(X).tolist() == [9, 9]


def test_unknown_layers_are_named_with_those_there_are(chain):
    text = "no layer 5x5/0, 6x6/0; this network has 4x4/0, 8x8/0, 16x16/0"
    with pytest.raises(KeyError, match=text), recorded(chain.layers, ["5x5/0", "4x4/0", "6x6/0"]):
        pass
    with (
        pytest.raises(KeyError, match=text),
        edited(chain.layers, {"5x5/0": torch.clone, "4x4/0": torch.clone, "6x6/0": torch.clone}),
    ):
        pass
    assert hooks(chain) == 0


def test_an_observer_is_told_what_a_layer_was_given_and_gave(chain: Chain):
    told = []
    with observed(chain.layers, ["16x16/0", "8x8/0"], lambda *event: told.append(event)):
        chain(X)
        chain(X)
    chain(X)
    assert hooks(chain) == 0
    assert [name for name, _, _ in told] == ["8x8/0", "16x16/0"] * 2
    assert torch.equal(torch.stack(told[0][1:]), torch.stack([2 * X, 2 * X + 1]))
    assert torch.equal(torch.stack(told[1][1:]), torch.stack([2 * X + 1, (2 * X + 1) ** 2]))
    with pytest.raises(KeyError, match="no layer 9x9/0"), observed(chain.layers, ["9x9/0"], print):
        pass


def test_a_pass_can_end_after_the_last_recorded_layer(chain: Chain):
    chain.third.register_forward_hook(lambda *_: pytest.fail("went on"))
    for names in (["8x8/0", "4x4/0"], ["4x4/0"]):
        with recorded(chain.layers, names, stop=True) as outputs:
            with pytest.raises(Reached):
                chain(X)
            assert set(outputs) == set(names)
            assert torch.equal(outputs["4x4/0"], 2 * X)
    assert hooks(chain) == 1
    with edited(chain.layers, {"4x4/0": lambda x: x - 1}):
        with recorded(chain.layers, ["8x8/0"], stop=True) as outputs, pytest.raises(Reached):
            chain(X)
        assert torch.equal(outputs["8x8/0"], 2 * X)


def test_guided_gradients_pass_where_value_and_gradient_are_positive():
    """Values (2, -1, 3); incoming gradients (1, 1, -1): the first alone passes, at its slope."""
    activation = nn.LeakyReLU(0.2)
    weights = torch.tensor([1.0, 1.0, -1.0])
    x = torch.tensor([2.0, -1.0, 3.0], requires_grad=True)
    with guided({"0": activation}):
        output = activation(x)
    assert output.tolist() == pytest.approx([2.0, -0.2, 3.0])
    (output * weights).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]
    assert hooks(activation) == 0
    plain = x.detach().clone().requires_grad_()
    (activation(plain) * weights).sum().backward()
    assert plain.grad.tolist() == pytest.approx([1.0, 0.2, -1.0])
