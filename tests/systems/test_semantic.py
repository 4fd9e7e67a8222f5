"""What a semantic pyramid is told, and its training by the one step."""

import io
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mirrors import FASHION

from ganlab.data import synthetic
from ganlab.data.batch import Batch
from ganlab.data.idx import read_embedded
from ganlab.features import FashionVGG
from ganlab.losses import LeastSquares, diversity, reconstruction
from ganlab.networks.semantic_pyramid import Discriminator, Generator
from ganlab.nn.masks import level_masks
from ganlab.sampling import Sampler, conditions_of
from ganlab.systems import GAN, Checkpointing
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.semantic import PyramidFeatures
from ganlab.systems.trainer import make_trainer

EXTRACTOR = FashionVGG()
NAMES = list(FASHION)
SHAPES = {n: (c, *(32 // r for r in rest * 2)) for n, (c, *rest) in FASHION.items()}


def batch(n=8, channels=1):
    rng = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (n, channels, 32, 32), generator=rng) / 127.5 - 1
    return Batch(image, torch.arange(n), 10 * torch.arange(n))


def conditioner(step=0, rank=0, world=1, **options):
    """One that sees a step of a run."""
    made = PyramidFeatures(EXTRACTOR, **options)
    made._system = SimpleNamespace(
        randomness=StepRandomness(5, 64 * step, rank, world), device=torch.device("cpu"), data=None
    )
    return made


def told_of(condition):
    return list(condition.masks)


class TestConditions:
    def test_half_of_the_images_are_kept_each_twice_with_what_they_are_told(self):
        given = batch()
        kept, condition = conditioner()(given)
        assert torch.equal(kept.image, given.image[:4].repeat(2, 1, 1, 1))
        assert torch.equal(kept.index, given.index[:4].repeat(2))
        assert torch.equal(kept.label, given.label[:4].repeat(2))
        for part in (condition.features, condition.masks):
            for tensor in part.values():
                assert len(tensor) == 8
                assert torch.equal(tensor[:4], tensor[4:])
        features = FashionVGG().stages(kept.image)
        assert torch.equal(condition.label, features["fc8"].argmax(1))
        for name, stage in condition.features.items():
            torch.testing.assert_close(stage, features[name])
            assert not stage.requires_grad

    def test_a_level_a_step_and_all_levels_in_turn(self):
        levels = []
        for step in range(90):
            condition = conditioner(step, crop_probability=0.0)(batch(2))[1]
            assert len(condition.masks) == 1
            assert next(iter(condition.masks.values())).eq(1).all()
            levels += condition.masks
        counts = [levels.count(name) for name in NAMES]
        assert min(counts) > 3  # 15 expected, deviation 3.5

    def test_crops_come_with_their_probability_and_follow_the_rule(self):
        drawn = [conditioner(step).drawn(4, 32) for step in range(200)]
        assert 35 < sum(keep is not None for _, keep in drawn) < 85  # 60 expected, deviation 6.5
        for step, (level, keep) in enumerate(drawn):
            if keep is None:
                continue
            assert keep.shape == (4, 1, 32, 32)
            assert len({tuple(each.flatten().tolist()) for each in keep}) == 4  # one an image
            if step < 30:
                condition = conditioner(step)(batch())[1]
                expected = level_masks(SHAPES, level, 4, keep)
                assert told_of(condition) == list(expected)
                for name, mask in expected.items():
                    assert torch.equal(
                        condition.masks[name], mask.repeat(2, *[1] * (mask.ndim - 1))
                    )
                coarser = NAMES[NAMES.index(level) + 1 :]
                assert not set(coarser) & set(condition.masks)

    def test_two_ranks_are_told_what_one_process_is(self):
        given = batch(8)
        for step in range(12):
            whole, told = conditioner(step, crop_probability=0.5)(given)
            for rank in range(2):
                share = Batch(given.image[rank::2], given.label[rank::2], given.index[rank::2])
                part, heard = conditioner(step, rank, 2, crop_probability=0.5)(share)
                assert torch.equal(part.index, whole.index[rank::2])
                assert told_of(heard) == told_of(told)
                for name, mask in heard.masks.items():
                    assert torch.equal(mask, told.masks[name][rank::2])

    def test_an_odd_batch_is_refused(self):
        with pytest.raises(ValueError, match=r"data\.batch_size leaves 3 images a process"):
            conditioner()(batch(3))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"crop_probability": 1.5}, r"model\.conditioner\.crop_probability=1\.5"),
            ({"crop": (0.5, 0.2)}, r"model\.conditioner\.crop=\[0\.5, 0\.2\]"),
            ({"crop": (0.0, 0.2)}, r"model\.conditioner\.crop"),
        ],
    )
    def test_options_that_cannot_be_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            PyramidFeatures(FashionVGG(), **options)

    def test_one_level_of_given_images_for_editing(self):
        made, images = conditioner(), batch(2, channels=3).image
        condition = made.condition(images, "pool3")
        assert told_of(condition) == ["pool3"]
        keep = torch.ones(2, 1, 32, 32)
        keep[..., :16] = 0
        condition = made.condition(images, "pool3", keep, label=torch.tensor([1, 2]))
        assert told_of(condition) == ["pool1", "pool2", "pool3"]
        assert condition.label.tolist() == [1, 2]
        with pytest.raises(ValueError, match="no level 'conv3'"):
            made.condition(images, "conv3")

    def test_without_data_there_is_a_class_alone(self):
        condition = PyramidFeatures(FashionVGG()).at([0, 3, 12])
        assert condition.label.tolist() == [0, 3, 2]
        assert condition.masks is None
        assert condition.features is None


def system(kimg=0.032, channels=1, penalties=None, **options):
    torch.manual_seed(0)
    sizes = {"resolution": 32, "channels": channels, "width": 4, "max_width": 16}
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.999))
    return GAN(
        Generator(stages=FASHION, latent_dim=16, embedding_dim=8, **sizes),
        Discriminator(**sizes),
        LeastSquares(),
        adam,
        adam,
        conditioner=PyramidFeatures(FashionVGG(), crop_probability=0.5),
        image_penalties=penalties or {"reconstruction": reconstruction, "diversity": diversity},
        kimg=kimg,
        **options,
    )


def fit(made, data, folder=None, ckpt=None):
    callbacks = [] if folder is None else [Checkpointing(folder, None)]
    trainer = make_trainer("cpu", callbacks=callbacks)
    trainer.fit(made, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return made


def images(channels=1):
    return synthetic(num=16, resolution=32, channels=channels, batch_size=8, seed=0)


def state(made):
    return {n: t.clone() for n, t in made.state_dict().items()}


class TestTraining:
    def test_a_step_descends_both_terms_and_leaves_the_classifier_alone(self):
        made = system(kimg=0.008)
        extractor = made.conditioner.extractor
        extractor.prepare()
        frozen = {n: t.clone() for n, t in extractor.network.state_dict().items()}
        before = state(made)
        fit(made, images())
        after = state(made)
        for part in ("generator.", "discriminator.", "generator_ema."):
            names = [n for n in before if n.startswith(part)]
            assert any(not torch.equal(before[n], after[n]) for n in names), part
        for name, tensor in extractor.network.state_dict().items():
            assert torch.equal(tensor, frozen[name])
        assert all(p.grad is None for p in extractor.parameters())
        logged = set(made.running_means.state_dict())
        text = repr(logged) + repr(made.running_means.state_dict())
        assert "penalty/reconstruction" in text
        assert "penalty/diversity" in text

    def test_penalties_of_images_take_the_draw_that_the_generators_loss_takes(self):
        seen = []

        def spy(images, latents, condition, stages):
            with torch.no_grad():
                again = made.generator(latents, condition)
            # Not exactly: the power iterations of spectral norm went on.
            assert (again - images).abs().mean() < 0.01
            assert torch.equal(
                latents, made.randomness.latents(made.generator, "generator", len(images))
            )
            found = stages(images)
            seen.append((list(found), found["pool1"].requires_grad, latents))
            return 0 * images.sum()

        made = system(0.016, penalties={"spy": spy})
        fit(made, images())
        assert [names for names, *_ in seen] == [NAMES, NAMES]
        assert all(graph for _, graph, _ in seen)
        assert not torch.equal(seen[0][2], seen[1][2])

    def test_names_of_penalties_are_not_shared(self):
        with pytest.raises(
            ValueError, match=r"generator_penalties and model\.image_penalties share"
        ):
            system(generator_penalties={"diversity": diversity})

    def test_resumed_it_is_the_same_run_and_the_classifier_is_in_no_checkpoint(self, tmp_path):
        whole = fit(system(0.032), images())
        fit(system(0.016), images(), tmp_path)
        file = tmp_path / "last.ckpt"
        saved = torch.load(file, weights_only=True)
        prefixes = {name.split(".")[0] for name in saved["state_dict"]}
        assert prefixes == {"generator", "discriminator", "generator_ema"}
        classifier = FashionVGG()
        classifier.prepare()
        held = [t for t in saved["state_dict"].values() if t.numel() > 1000]
        for weight in classifier.network.state_dict().values():
            assert not any(t.shape == weight.shape and torch.equal(t, weight) for t in held)
        resumed = fit(system(0.032), images(), ckpt=file)
        assert resumed.images_seen == whole.images_seen == 32
        for name, tensor in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], tensor), name

    def test_colour_images_reach_the_generator_through_a_grey_classifier(self):
        made = fit(system(0.008, channels=3), images(3))
        assert made.images_seen == 8

    def test_a_generator_that_mirrors_something_else_is_refused(self):
        made = system()
        made.generator.stages.pop("fc8")
        with pytest.raises(ValueError, match=r"model\.generator\.stages mirrors .*fc7.* but"):
            fit(made, images())
        made = system()
        made.generator.num_classes = 7
        with pytest.raises(ValueError, match=r"model\.generator\.num_classes=7"):
            fit(made, images())


@pytest.fixture(scope="module")
def trained():
    return fit(system(0.008), images())


class TestEvaluation:
    def test_addresses_are_told_the_datas_images_levels_in_turn(self, trained):
        data = trained.trainer.datamodule
        indices = [0, 1, 2, 3, 4, 5, 6, 17]
        condition = conditions_of(trained)(indices)
        for row, i in enumerate(indices):
            on = [name for name in NAMES if condition.masks[name][row].any()]
            assert on == [NAMES[i % 6]]
            assert condition.masks[on[0]][row].eq(1).all()
        expected = data.dataset.images([i % 16 for i in indices]) / 127.5 - 1
        torch.testing.assert_close(trained.conditioner.references(indices), expected)
        features = FashionVGG().stages(expected)
        for name, stage in condition.features.items():
            torch.testing.assert_close(stage, features[name])

    def test_an_image_does_not_depend_on_its_batch(self, trained):
        told = conditions_of(trained)
        network = trained.generator_ema
        together = Sampler(network, 3, condition_at=told).batch(range(8))
        alone = torch.cat([Sampler(network, 3, condition_at=told).batch([i]) for i in range(8)])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)

    def test_truncation_moves_images_and_a_wide_one_does_not(self, trained):
        told = conditions_of(trained)
        plain, wide, narrow = (
            Sampler(trained.generator_ema, 3, condition_at=told, truncation=t).batch(range(4))
            for t in (None, 20.0, 0.1)
        )
        torch.testing.assert_close(wide, plain, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(narrow, plain, atol=1e-3)

    def test_it_is_rebuilt_and_paints_without_the_classifier(self, trained, monkeypatch):
        file = io.BytesIO()
        torch.save(trained.generator_ema.state_dict(), file)
        file.seek(0)
        monkeypatch.setattr(FashionVGG, "build", lambda self: pytest.fail("not needed"))
        twin = Generator(
            32, 1, FASHION, latent_dim=16, embedding_dim=8, width=4, max_width=16
        ).eval()
        twin.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(
            Sampler(twin, 0).batch(range(4)), Sampler(trained.generator_ema, 0).batch(range(4))
        )


def test_the_guess_is_right_for_most_garments():
    images, labels = (torch.tensor(each[:500]) for each in read_embedded())
    made = PyramidFeatures(EXTRACTOR)
    guess = made.label(made.features(images[:, None] / 127.5 - 1))
    assert (guess == labels).float().mean() > 0.85
