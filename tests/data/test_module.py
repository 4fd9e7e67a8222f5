import itertools
from types import SimpleNamespace

import lightning
import pytest
import torch
from PIL import Image

from ganlab.data import ImageData, folder, synthetic


def ready(num=10, rank=0, world_size=1, **options):
    data = synthetic(num, 8, **{"batch_size": 4, **options})
    if world_size > 1:
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
    data.prepare_data()
    data.setup()
    return data


def first(data, batches):
    return list(itertools.islice(iter(data.train_dataloader()), batches))


def test_batches_hold_the_images_and_labels_of_their_indices():
    data = ready()
    for batch in first(data, 5):
        assert batch.image.dtype == torch.uint8
        assert torch.equal(batch.image, data.dataset.images(batch.index))
        assert torch.equal(batch.label, batch.index % 3)


def test_iteration_starts_at_position_and_leaves_it_alone():
    data = ready(flip=True)
    expected = first(data, 6)
    loader = data.train_dataloader()  # built before the position is known
    data.position = 12
    resumed = list(itertools.islice(iter(loader), 3))
    assert data.position == 12
    for batch, other in zip(expected[3:], resumed, strict=True):
        assert torch.equal(batch.index, other.index)
        assert torch.equal(batch.image, other.image)


def test_flip_mirrors_whole_images_and_both_ways_occur():
    data = ready(flip=True)
    mirrored = []
    for batch in first(data, 10):
        for image, original in zip(batch.image, data.dataset.images(batch.index), strict=True):
            mirrored.append(torch.equal(image, original.flip(-1)))
            assert mirrored[-1] or torch.equal(image, original)
    assert 0 < sum(mirrored) < len(mirrored)


def test_balanced_batches_hold_every_class_equally_often_and_need_classes():
    for batch in first(ready(num=11, batch_size=6, balanced=True), 5):
        assert batch.label.bincount(minlength=3).tolist() == [2, 2, 2]
    data = folder(None, labels=False)
    data._dataset = ready().dataset
    data._dataset.labels = None
    data.balanced = True
    with pytest.raises(ValueError, match=r"data\.balanced=true needs labels, and data=images has"):
        data.stream()


def test_uint8_becomes_float_between_minus_one_and_one():
    data = ready()
    batch = data.on_after_batch_transfer(first(data, 1)[0], 0)
    assert batch.image.dtype == torch.float32
    assert torch.equal(((batch.image + 1) * 127.5).round().byte(), data.dataset.images(batch.index))
    values = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    ends = data.on_after_batch_transfer(type(batch)(values, None, torch.arange(2)), 0)
    assert ends.image.flatten().tolist() == [-1.0, 1.0]
    assert torch.equal(data.on_after_batch_transfer(ends, 0).image, ends.image)


def test_test_pass_is_one_pass_in_order_without_flips():
    data = ready(flip=True)
    batches = list(data.test_dataloader())
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(10))
    images = torch.cat([batch.image for batch in batches])
    assert torch.equal(images, data.dataset.images(range(10)))


@pytest.mark.parametrize("num", [10, 9, 5, 1])
@pytest.mark.parametrize("world_size", [2, 4])
def test_test_pass_is_shared_out_without_padding(num, world_size):
    indices = []
    for rank in range(world_size):
        data = ready(rank=rank, world_size=world_size)
        data.num_eval = num
        loader = data.test_dataloader()
        mine = [i for batch in loader for i in batch.index.tolist()]
        assert len(loader) == len(list(loader))
        assert mine == list(range(rank, num, world_size))
        indices += mine
    assert sorted(indices) == list(range(num))


def test_more_images_than_exist_are_refused_with_their_count():
    data = ready()
    assert data.eval_images(None) == 10
    assert data.eval_images(7) == data.num_eval == 7
    for num in (11, 0):
        with pytest.raises(ValueError, match=rf"{num} real images asked for, but images has 10"):
            data.eval_images(num)
    data.num_eval = 50_000
    with pytest.raises(ValueError, match=r"50,000 real images asked for, but images has 10"):
        data.test_dataloader()


def test_ranks_see_disjoint_images_of_one_global_batch():
    whole = first(ready(batch_size=6, flip=True), 4)
    shares = [first(ready(rank=r, world_size=2, batch_size=6, flip=True), 4) for r in range(2)]
    for batch, zero, one in zip(whole, *shares, strict=True):
        for field in ("index", "label", "image"):
            parts = torch.stack([getattr(zero, field), getattr(one, field)], 1).flatten(0, 1)
            assert torch.equal(parts, getattr(batch, field))


def test_batch_size_must_fit_the_ranks():
    with pytest.raises(ValueError, match=r"data\.batch_size=5 .* processes, 2"):
        ready(rank=0, world_size=2, batch_size=5)
    with pytest.raises(ValueError, match=r"data\.batch_size=0"):
        synthetic(batch_size=0)


def test_growing_networks_change_the_batch_by_position():
    data = ready()
    data.batch_size_at = lambda position: 6 if position < 12 else 2
    assert [len(batch) for batch in first(data, 4)] == [6, 6, 2, 2]


def test_starting_an_iteration_leaves_the_global_rng_alone():
    data = ready(flip=True)
    before = torch.get_rng_state()
    first(data, 3)
    list(data.test_dataloader())
    assert torch.equal(before, torch.get_rng_state())


def test_images_before_setup_are_an_error_in_words():
    with pytest.raises(RuntimeError, match="prepare_data"):
        _ = synthetic(4).dataset


def test_bad_resolution_is_refused_on_construction():
    with pytest.raises(ValueError, match=r"data\.resolution=48 must be a power of two"):
        synthetic(4, 48)


class Recorder(lightning.LightningModule):
    """Keeps every training batch it is given."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.trained, self.tested = [], []

    def training_step(self, batch, _):
        self.trained.append(batch)

    def test_step(self, batch, batch_idx):
        self.tested.append(batch)

    def configure_optimizers(self):
        return None


def test_through_the_real_trainer(tmp_path):
    data: ImageData = synthetic(10, 8, batch_size=4, flip=True)
    data.position, data.num_eval = 8, 6
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=-1,
        limit_train_batches=3,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    recorder = Recorder()
    trainer.fit(recorder, datamodule=data)
    expected = first(ready(flip=True), 5)[2:]
    assert len(recorder.trained) == 3
    for batch, raw in zip(recorder.trained, expected, strict=True):
        assert torch.equal(batch.index, raw.index)
        assert torch.equal(batch.image, raw.image.float() / 127.5 - 1)
    trainer.test(recorder, datamodule=data, verbose=False)
    assert torch.cat([batch.index for batch in recorder.tested]).tolist() == list(range(6))
    assert all(batch.image.is_floating_point() for batch in recorder.tested)
    assert data.position == 8


def test_deferred_images_are_opened_when_they_are_asked_for(tmp_path):
    """What only paints works where the images are not; what looks at one finds all of them."""
    data = folder(str(tmp_path / "later"), resolution=8, channels=1)
    data.defer()
    data.prepare_data()
    data.setup()
    (blank,) = data.test_dataloader()
    assert blank.image.shape == (1, 1, 8, 8)
    assert blank.image.unique().tolist() == [-1]
    (tmp_path / "later").mkdir()
    Image.new("L", (8, 8), 9).save(tmp_path / "later" / "a.png")
    assert len(data.dataset) == 1
    assert [len(batch.image) for batch in data.test_dataloader()] == [1]


def test_deferred_images_that_are_not_there_are_named_when_they_are_asked_for(tmp_path):
    data = folder(str(tmp_path / "nowhere"))
    data.defer()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        _ = data.dataset
