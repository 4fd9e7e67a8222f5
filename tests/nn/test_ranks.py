"""What two processes agree on of the networks that both train."""

import socket
from pathlib import Path

import torch
from processes import two_ranks
from torch import nn

from ganlab.nn.ranks import average_gradients, share

EVERYWHERE, HERE, THERE, NOWHERE, DOUBLE, FROZEN = range(6)


def parameters():
    sizes, kinds = [(2, 3), (4,), (2,), (5,), (3,), (2,)], [torch.float32] * 4
    kinds += [torch.float64, torch.float32]
    return [nn.Parameter(torch.ones(s, dtype=k)) for s, k in zip(sizes, kinds, strict=True)]


def gradients(rank):
    """Who has one: both ranks, the first, the second, none, both in another type, none may."""
    found = parameters()
    found[FROZEN].requires_grad_(False)
    for number, owners in ((EVERYWHERE, (0, 1)), (HERE, (0,)), (THERE, (1,)), (DOUBLE, (0, 1))):
        if rank in owners:
            values = torch.arange(found[number].numel(), dtype=found[number].dtype) + 10 * rank + 1
            found[number].grad = values.view_as(found[number])
    return found


def work(rank, world, folder):
    address = f"tcp://127.0.0.1:{(Path(folder) / 'port').read_text()}"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=world)
    sent, send = [], torch.distributed.all_reduce
    torch.distributed.all_reduce = lambda flat: sent.append(len(flat)) or send(flat)
    averaged = gradients(rank)
    average_gradients(averaged)
    shared = [torch.full((2,), 1.0 + rank), torch.tensor(3 + rank), torch.zeros(1) - rank]
    share(shared)
    found = [[each.grad for each in averaged], shared, sent]
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_mean_of_their_gradients_and_the_first_ones_buffers(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    own = [gradients(rank) for rank in range(2)]
    for averaged, shared, sent in two_ranks(work, tmp_path):
        for number in (EVERYWHERE, HERE, THERE, DOUBLE):
            given = [each[number].grad for each in own if each[number].grad is not None]
            assert torch.equal(averaged[number], sum(given) / 2)
        assert averaged[NOWHERE] is None
        assert averaged[FROZEN] is None
        assert [each.tolist() for each in shared] == [[1.0, 1.0], 3, [0.0]]
        counts = [6 + 4 + 2 + 5 + 4, 3 + 1]  # numbers of a type, and of its parameters
        assert sent == counts, "one message a type"


def test_one_process_shares_with_nobody():
    alone = torch.ones(2)
    share([alone])
    assert alone.tolist() == [1.0, 1.0]
