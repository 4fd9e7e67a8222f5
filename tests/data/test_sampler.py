import itertools

import pytest
import torch

from ganlab.data.sampler import ImageStream, local_batch


def taken(stream, batches):
    """Indices and flips of the next batches, concatenated."""
    indices, flips = zip(*itertools.islice(stream, batches), strict=True)
    return torch.cat(indices).tolist(), torch.cat(flips).tolist()


def test_every_epoch_is_another_permutation():
    indices, _ = taken(ImageStream(10, 5, seed=0), 6)
    epochs = [indices[:10], indices[10:20], indices[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_batches_run_across_epochs_without_loss():
    """7 images in batches of 4, and batches larger than an epoch, give the same sequence."""
    small = taken(ImageStream(7, 4, seed=3, flip=True), 21)
    large = taken(ImageStream(7, 28, seed=3, flip=True), 3)
    assert small == large


def test_seed_decides_order_and_flips():
    same, other = ImageStream(50, 50, 1, True), ImageStream(50, 50, 2, True)
    assert taken(ImageStream(50, 50, 1, True), 2) == taken(same, 2)
    assert taken(ImageStream(50, 50, 1, True), 2) != taken(other, 2)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_are_disjoint_and_interleave_to_the_global_batch(world_size):
    whole = iter(ImageStream(17, 12, seed=5, flip=True))
    ranks = [iter(ImageStream(17, 12, 5, True, rank, world_size)) for rank in range(world_size)]
    for _ in range(4):
        indices, flips = next(whole)
        shares = [next(rank) for rank in ranks]
        assert all(len(share[0]) == 12 // world_size for share in shares)
        assert torch.equal(torch.stack([s[0] for s in shares], 1).flatten(), indices)
        assert torch.equal(torch.stack([s[1] for s in shares], 1).flatten(), flips)


def test_within_an_epoch_no_two_ranks_see_one_image():
    ranks = [taken(ImageStream(24, 8, 0, rank=rank, world_size=4), 3)[0] for rank in range(4)]
    assert sorted(itertools.chain(*ranks)) == list(range(24))


@pytest.mark.parametrize("position", [0, 4, 6, 7, 13, 14, 700])
def test_resumes_to_the_exact_image_from_any_position(position):
    batch = 2
    stream = ImageStream(7, batch, seed=9, flip=True)
    skipped = ImageStream(7, 1, seed=9, flip=True)
    expected = [next(iter(skipped)) for _ in range(position + 8)][position:]
    stream.load_state_dict({"position": position, "seed": 9, "num_images": 7})
    indices, flips = taken(stream, 4)
    assert indices == [int(i) for i, _ in expected]
    assert flips == [bool(f) for _, f in expected]


def test_state_continues_where_it_was_taken():
    stream = ImageStream(11, 4, seed=2, flip=True)
    taken(stream, 5)
    state = stream.state_dict()
    assert state["position"] == 20
    resumed = ImageStream(11, 4, seed=2, flip=True)
    resumed.load_state_dict(state)
    assert taken(resumed, 5) == taken(stream, 5)


@pytest.mark.parametrize(("name", "value"), [("seed", 3), ("num_images", 12)])
def test_state_of_another_stream_is_refused(name, value):
    stream = ImageStream(11, 4, seed=2)
    with pytest.raises(ValueError, match=f"{name}={value}"):
        stream.load_state_dict({**stream.state_dict(), name: value})


def test_batch_size_may_depend_on_the_position():
    def halving(position):
        return 8 if position < 16 else 4

    stream = ImageStream(30, halving, seed=0, rank=1, world_size=2)
    assert [len(indices) for indices, _ in itertools.islice(stream, 4)] == [4, 4, 2, 2]
    constant = ImageStream(30, 4, seed=0, rank=1, world_size=2)
    assert taken(ImageStream(30, halving, 0, rank=1, world_size=2), 4)[0] == taken(constant, 6)[0]


def test_flips_are_about_half_and_off_by_default():
    _, flips = taken(ImageStream(1000, 1000, seed=0, flip=True), 4)
    assert 0.45 < sum(flips) / len(flips) < 0.55  # 6 standard deviations
    assert not any(taken(ImageStream(1000, 1000, seed=0), 1)[1])


def test_an_image_is_not_always_flipped_the_same_way():
    indices, flips = taken(ImageStream(8, 8, seed=0, flip=True), 20)
    seen = {(index, flip) for index, flip in zip(indices, flips, strict=True)}
    assert len(seen) == 16


def test_global_rng_is_left_alone():
    before = torch.get_rng_state()
    taken(ImageStream(10, 4, seed=0, flip=True), 10)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("batch_size", [0, -4, 5])
def test_batch_that_ranks_cannot_share_is_refused(batch_size):
    with pytest.raises(ValueError, match=rf"data\.batch_size={batch_size} .* processes, 2"):
        local_batch(batch_size, 2)
    with pytest.raises(ValueError, match=r"data\.batch_size"):
        next(iter(ImageStream(10, lambda _: batch_size, 0, world_size=2)))


def test_empty_stream_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        ImageStream(0, 4, seed=0)


LABELS = torch.tensor([0] * 9 + [2] * 3 + [5])  # 13 images, of three classes that have some


def test_balanced_rounds_hold_every_class_once_and_all_of_a_class_before_one_again():
    """Over epochs of 15 = 5 rounds; the order of classes in a round changes."""
    indices, _ = taken(ImageStream(13, 5, seed=0, labels=LABELS), 27)
    rounds = LABELS[indices].view(-1, 3).tolist()
    assert all(sorted(each) == [0, 2, 5] for each in rounds)
    assert len({tuple(each) for each in rounds}) == 6
    for label, members in ((0, range(9)), (2, range(9, 12)), (5, [12])):
        own = [index for index in indices if LABELS[index] == label]
        passes = [own[k : k + len(members)] for k in range(0, 45, len(members))]
        assert all(sorted(each) == list(members) for each in passes)
        assert len(members) == 1 or len({tuple(each) for each in passes}) > 1


def test_a_balanced_stream_shares_out_and_goes_on_as_any():
    whole = taken(ImageStream(13, 6, 4, True, labels=LABELS), 6)
    ranks = [taken(ImageStream(13, 6, 4, True, rank, 2, labels=LABELS), 6)[0] for rank in range(2)]
    assert [index for pair in zip(*ranks, strict=True) for index in pair] == whole[0]
    begun = ImageStream(13, 6, 4, True, labels=LABELS)
    taken(begun, 4)
    resumed = ImageStream(13, 6, 4, True, labels=LABELS)
    resumed.load_state_dict(begun.state_dict())
    assert taken(resumed, 2)[0] == whole[0][24:]
    for one, other in ((None, LABELS), (LABELS, None)):
        stored = ImageStream(13, 6, 4, labels=one).state_dict()
        with pytest.raises(ValueError, match=f"balanced={one is not None}"):
            ImageStream(13, 6, 4, labels=other).load_state_dict(stored)
