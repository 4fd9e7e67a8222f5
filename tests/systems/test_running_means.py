import torch

from ganlab.systems.running_means import RunningMeans


def test_reads_means_since_the_reset():
    tally = RunningMeans()
    for value in (1.0, 2.0, 6.0):
        tally.add("loss", torch.tensor(value))
    tally.add("rare", torch.tensor(5.0))
    assert tally.read() == {"loss": 3.0, "rare": 5.0}
    tally.reset()
    assert tally.read() == {}


def test_adding_never_waits_for_the_device(monkeypatch):
    def synchronize(self):
        raise AssertionError("a host read in the hot path")

    monkeypatch.setattr(torch.Tensor, "item", synchronize)
    monkeypatch.setattr(torch.Tensor, "__float__", synchronize)
    tally = RunningMeans()
    tally.add("loss", torch.tensor(1.0, requires_grad=True) * 2)


def test_continues_from_its_state():
    whole, first, second = RunningMeans(), RunningMeans(), RunningMeans()
    values = torch.randn(9, generator=torch.Generator().manual_seed(0))
    for value in values:
        whole.add("x", value)
    for value in values[:4]:
        first.add("x", value)
    second.load_state_dict(first.state_dict())
    for value in values[4:]:
        second.add("x", value)
    assert second.read() == whole.read()


def test_holds_no_graph():
    tally = RunningMeans()
    tally.add("x", torch.ones((), requires_grad=True) * 3)
    assert not tally.state_dict()["sums"]["x"].requires_grad
