"""Several processes train one network by ganlab's own strategy alone."""

import pytest

from ganlab.systems.rendezvous import Ranks
from ganlab.systems.trainer import make_trainer


@pytest.mark.parametrize("name", ["auto", "ddp_spawn"])
def test_another_strategy_is_refused_where_there_are_several_processes(name):
    with pytest.raises(ValueError, match=rf"trainer\.strategy={name} .* trainer\.strategy=ddp"):
        make_trainer(accelerator="cpu", devices=2, strategy=name)


def test_ddp_is_ours():
    assert isinstance(make_trainer(accelerator="cpu", devices=2, strategy="ddp").strategy, Ranks)
