"""Growth: a schedule in images, and runs that cross its boundaries, stop there and go on."""

from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import Callback
from PIL import Image

from ganlab.callbacks import Health, MetricsLog, SampleGrid
from ganlab.data import synthetic
from ganlab.losses import Wasserstein, drift, gradient_penalty
from ganlab.networks import dcgan, progan
from ganlab.nn.growing import Stage
from ganlab.sampling import Sampler
from ganlab.systems import GAN, Growth
from ganlab.systems.growth import grow, share_schedule, warn_if_too_short
from ganlab.systems.nonfinite import NonFiniteError
from ganlab.systems.optimizers import lazy_adam, set_rates
from ganlab.systems.trainer import make_trainer

SCHEDULE = Growth(16, stable_kimg=0.032, fade_kimg=0.032, batch_sizes={8: 4, 16: 4},
                  learning_rates={16: 0.0005})  # fmt: skip
LEVEL_1 = 40  # images after which SCHEDULE first runs at 8 px, in batches of 4


class TestSchedule:
    def test_trains_then_fades_then_trains(self):
        growth = Growth(16, stable_kimg=1.0, fade_kimg=2.0)
        moments = {0: (0, 1.0), 1000: (0, 1.0), 1500: (1, 0.25), 2000: (1, 0.5), 2999: (1, 0.9995)}
        moments |= {3000: (1, 1.0), 4000: (1, 1.0), 5000: (2, 0.5), 6000: (2, 1.0), 10**9: (2, 1.0)}
        for images, (level, alpha) in moments.items():
            assert growth(images) == Stage(level, pytest.approx(alpha))

    @pytest.mark.parametrize("first_level", [0, 1, 2])
    def test_alpha_is_linear_and_the_image_never_jumps(self, first_level):
        """level + alpha is the paper's continuous level of detail: it rises, by a bounded slope."""
        growth = Growth(32, stable_kimg=0.5, fade_kimg=0.25, first_level=first_level)
        stages = [growth(images) for images in range(3000)]
        detail = [stage.level + stage.alpha for stage in stages]
        steps = [after - before for before, after in pairwise(detail)]
        assert all(-1e-9 <= step <= 1 / 250 + 1e-9 for step in steps)
        assert detail[0] == first_level + 1
        assert detail[-1] == 4
        assert all(stage.alpha > 0 for stage in stages), "at alpha 0 a level learns nothing"

    def test_without_fading_levels_follow_at_once(self):
        growth = Growth(16, stable_kimg=0.1, fade_kimg=0.0)
        assert [growth(n) for n in (0, 99, 100, 200, 300)] == [
            *map(Stage, (0, 0, 1, 2, 2)),
        ]

    def test_batches_and_rates_are_those_of_the_level_fading_in(self):
        growth = Growth(16, stable_kimg=1.0, fade_kimg=1.0, batch_sizes={4: 64, 16: 8},
                        learning_rates={16: 0.5})  # fmt: skip
        sizes = [growth.batch_size(n, 32) for n in (0, 1000, 1001, 2500, 3001)]
        assert sizes == [64, 64, 32, 32, 8]
        assert [growth.learning_rate(growth(n)) for n in (0, 1500, 3500)] == [None, None, 0.5]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"resolution": 24}, r"data\.resolution.* power of two"),
            ({"first_level": 3}, r"growth\.first_level must be from 0 to 2"),
            ({"stable_kimg": 0.0}, r"stable_kimg must be above 0"),
            ({"batch_sizes": {"16": 8}}, r"growth\.batch_sizes maps pixels .*=\{16: 64\}'"),
            ({"learning_rates": {16: 0.0}}, r"growth\.learning_rates maps pixels"),
            ({"learning_rates": {16: "fast"}}, r"growth\.learning_rates .* got \{16: 'fast'\}"),
            ({"learning_rates": {16: None}}, r"growth\.learning_rates .* got \{16: None\}"),
            ({"learning_rates": {16: float("inf")}}, r"growth\.learning_rates .* got \{16: inf\}"),
            ({"batch_sizes": {8: 4, 24: 8}}, r"growth\.batch_sizes .*powers.* got \{24: 8\}"),
            ({"batch_sizes": {2: 8}}, r"growth\.batch_sizes .*from 4.* got \{2: 8\}"),
            ({"batch_sizes": {True: 8}}, r"growth\.batch_sizes .* got \{True: 8\}"),
            ({"batch_sizes": {16: 2.5}}, r"growth\.batch_sizes .*whole numbers.* got \{16: 2\.5\}"),
            ({"batch_sizes": {16: [8]}}, r"growth\.batch_sizes .* got \{16: \[8\]\}"),
            ({"batch_sizes": [8, 16]}, r"growth\.batch_sizes .*=\{16: 64\}'; got \[8, 16\]"),
        ],
    )
    def test_what_cannot_be_is_refused_by_its_key(self, options, message):
        with pytest.raises(ValueError, match=message):
            Growth(**{"resolution": 16} | options)

    def test_levels_that_a_run_does_not_reach_may_be_listed(self):
        growth = Growth(16, batch_sizes={4: 8, 1024: 2}, learning_rates={8: 1, 1024: 0.003})
        assert (growth.batch_size(0, 64), growth.learning_rate(Stage(1))) == (8, 1)

    def test_a_batch_that_processes_cannot_share_is_refused(self):
        system = SimpleNamespace(trainer=SimpleNamespace(world_size=2, datamodule=None))
        with pytest.raises(ValueError, match=r"growth\.batch_sizes: 3 at 8 px .*processes, 2"):
            share_schedule(system, Growth(16, batch_sizes={8: 3}))


def system_of(kimg, growth=SCHEDULE, resolution=16, **options):
    torch.manual_seed(0)
    generator = progan.Generator(resolution, 3, 8, 4, 8)
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99))
    return GAN(
        generator,
        progan.Discriminator(resolution, 3, 4, 8, group_size=4),
        Wasserstein(),
        adam,
        adam,
        penalties={"gradient_penalty": gradient_penalty, "drift": drift},
        growth=growth,
        kimg=kimg,
        **options,
    )


def fitted(directory, kimg, callbacks=(), ckpt=None, **options):
    system = system_of(kimg, **options)
    data = synthetic(
        num=50, resolution=system.generator.resolution, channels=3, batch_size=8, seed=0
    )
    trainer = make_trainer("cpu", callbacks=list(callbacks), directory=str(directory))
    trainer.fit(system, datamodule=data, ckpt_path=ckpt, weights_only=True)
    trainer.save_checkpoint(directory / "end.ckpt")
    return system


class Saver(Callback):
    """Keeps a checkpoint after every batch, with what the batch saw."""

    def __init__(self, directory):
        self.directory, self.seen = directory, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        generator, (optimizer, _) = pl_module.generator, trainer.optimizers
        self.seen.append(
            {
                "before": pl_module.images_before,
                "batch": len(batch),
                "stage": Stage(generator.level, generator.alpha),
                "rate": optimizer.param_groups[0]["lr"],
                "steps": {int(state["step"]) for state in optimizer.state.values()},
            }
        )
        trainer.save_checkpoint(self.directory / f"{pl_module.images_seen}.ckpt")


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """One run through all levels: its folder of checkpoints, its notes, the final system."""
    directory = tmp_path_factory.mktemp("grown")
    saver = Saver(directory)
    system = fitted(directory, 0.16, [saver])
    return directory, saver.seen, system


def leaves(node, prefix=""):
    """Every tensor and number by its path; what only describes the process is left out."""
    if isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        kept = [(k, v) for k, v in items if k not in ("recipe", "loops", "callbacks")]
        return {path: leaf for k, v in kept for path, leaf in leaves(v, f"{prefix}/{k}").items()}
    return {prefix: torch.as_tensor(node)} if isinstance(node, torch.Tensor | int | float) else {}


def state_at(path):
    return leaves(torch.load(path, weights_only=True))


def test_system_follows_the_schedule(grown):
    _, seen, system = grown
    for batch in seen:
        assert batch["stage"] == SCHEDULE(batch["before"])
        assert batch["batch"] == SCHEDULE.batch_size(batch["before"], 8)
        assert batch["rate"] == (0.0005 if batch["stage"].level == 2 else 0.001)
    assert {batch["stage"].level for batch in seen} == {0, 1, 2}
    assert {type(n).__name__: (n.level, n.alpha) for n in system.networks().values()} == {
        "Generator": (2, 1.0),
        "Discriminator": (2, 1.0),
    }


@pytest.mark.parametrize("images", [24, LEVEL_1, LEVEL_1 + 4, 52, 64, 96, 104, 132])
def test_a_run_resumed_anywhere_is_the_run_that_never_stopped(grown, images, tmp_path):
    """Before, just before and just after a boundary, amid a fade, where one ends."""
    directory, _, _ = grown
    fitted(tmp_path, 0.16, ckpt=directory / f"{images}.ckpt")
    ours, theirs = state_at(tmp_path / "end.ckpt"), state_at(directory / "end.ckpt")
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def test_a_checkpoint_taken_from_another_stage_gives_another_run(grown, tmp_path):
    """The control: what the checkpoint keeps of the stage is what the test above rests on."""
    directory, _, _ = grown
    state = torch.load(directory / f"{LEVEL_1}.ckpt", weights_only=True)
    assert state["state_dict"]["generator._extra_state"] == {"level": 0, "alpha": 1.0}
    state["state_dict"]["generator._extra_state"] = {"level": 1, "alpha": 0.5}  # no reset to come
    torch.save(state, tmp_path / "forged.ckpt")
    fitted(tmp_path, 0.16, ckpt=tmp_path / "forged.ckpt")
    ours, theirs = state_at(tmp_path / "end.ckpt"), state_at(directory / "end.ckpt")
    assert any(not torch.equal(ours[name], theirs[name]) for name in theirs if "generator" in name)


def test_the_stage_returns_with_the_weights(grown):
    directory, _, _ = grown
    state = torch.load(directory / "52.ckpt", weights_only=True)["state_dict"]
    system = system_of(0.16)
    system.load_state_dict(state)
    twin = progan.Generator(16, 3, 8, 4, 8)
    twin.load_state_dict({k.removeprefix("generator_ema."): v for k, v in state.items()
                          if k.startswith("generator_ema.")})  # fmt: skip
    assert Stage(twin.level, twin.alpha) == SCHEDULE(48)
    latents = torch.randn(2, 8)
    assert torch.equal(twin.eval()(latents), system.generator_ema(latents))


@pytest.mark.parametrize("reset", [True, False])
def test_moments_are_forgotten_where_a_fade_begins_and_where_it_ends_if_asked(tmp_path, reset):
    """As in Karras' training loops, which reset where floor or ceil of the level of detail move."""
    saver = Saver(tmp_path)
    growth = Growth(8, stable_kimg=0.032, fade_kimg=0.032, reset_optimizers=reset)
    fitted(tmp_path, 0.096, [saver], growth=growth, resolution=8)
    stages = [batch["stage"] for batch in saver.seen]
    kinds = [(stage.level, stage.alpha < 1) for stage in stages]
    assert kinds == [(0, False)] * 5 + [(1, True)] * 3 + [(1, False)] * 4
    steps = [max(batch["steps"]) for batch in saver.seen]
    assert steps == ([*range(1, 6), *range(1, 4), *range(1, 5)] if reset else [*range(1, 13)])


def test_listed_rates_shrink_as_those_of_lazy_adam_do():
    """k / (k + 1) of the listed rate, as of the optimizer's own; groups keep their ratios."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.0004}]
    optimizer = lazy_adam(groups, 0.001, (0.0, 0.99), 4)
    for listed, expected in ((None, 0.0008), (0.003, 0.0024), (None, 0.0008)):
        set_rates(optimizer, listed)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([expected, expected / 2])


def test_a_run_that_no_longer_grows_works_at_full_size(grown, tmp_path):
    directory, _, _ = grown
    system = fitted(tmp_path, 0.16, ckpt=directory / "52.ckpt", growth=None)
    assert {(n.level, n.alpha) for n in system.networks().values()} == {(2, 1.0)}


@pytest.mark.parametrize(("kimg", "size"), [(0.016, 4), (0.05, 8), (0.12, 16), (0.128, None)])
def test_a_run_too_short_to_grow_says_so(tmp_path, capsys, kimg, size):
    growth = Growth(16, stable_kimg=0.032, fade_kimg=0.032)
    fitted(tmp_path, kimg, growth=growth)
    said = capsys.readouterr().out
    line = f"kimg={kimg} ends this run at {size}x{size}: all of 16x16 is there after 0.128 kimg"
    assert line in said if size else "ends this run" not in said


def test_a_rectangle_that_does_not_grow_whole_is_told_by_both_sides(capsys):
    warn_if_too_short(0.05, Growth((16, 32), stable_kimg=0.032, fade_kimg=0.032))
    line = "kimg=0.05 ends this run at 8x16: all of 16x32 is there after 0.128 kimg"
    assert line in capsys.readouterr().out


def test_average_does_not_depend_on_the_batch():
    """Half-life in images: two updates after 4 images each are one after 8, weights standing."""
    system = system_of(1.0)
    weights = [p.clone() for p in system.generator_ema.parameters()]
    with torch.no_grad():
        for p in system.generator.parameters():
            p.add_(1.0)
    for images in (4, 8):
        system.images_seen = 10_000 + images
        system.images_at_ema = system.images_seen - 4
        system.ema.update(system.generator_ema, system.generator, 4, 10_000)
    beta = 0.5 ** (8 / 500)  # the ramp: 5% of the images seen
    for now, before in zip(system.generator_ema.parameters(), weights, strict=True):
        torch.testing.assert_close(now, before + (1 - beta), atol=1e-5, rtol=1e-5)


def test_pictures_and_health_have_one_size_while_the_images_grow(tmp_path):
    grid = SampleGrid(tmp_path / "samples", 0.02, num=4, columns=2)
    fitted(tmp_path, 0.16, [grid, Health(0.02, num=4), MetricsLog(0.02)])
    pictures = grid.saved()
    assert len(pictures) > 4
    assert len({Image.open(path).size for path in pictures}) == 1
    drawn = np.asarray(Image.open(pictures[0]))[2:18, 2:18]  # the first image, untrained
    assert (drawn == drawn[::4, ::4].repeat(4, 0).repeat(4, 1)).all(), "not the first stage"
    assert (tmp_path / "samples" / "timeline.png").exists()


def test_evaluation_enlarges_the_images_of_an_early_stage():
    system = system_of(1.0)
    system.generator_ema.grow_to(Stage(0))
    images = Sampler(system.generator_ema, 0).batch(range(3))
    assert images.shape == (3, 3, 16, 16)
    small = images[:, :, ::4, ::4]
    assert torch.equal(images, small.repeat_interleave(4, 2).repeat_interleave(4, 3))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_guard_names_the_module_of_a_growing_network(tmp_path, network):
    class Overflow(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if pl_module.images_seen >= LEVEL_1:
                block = getattr(pl_module, network).blocks[0]
                block[1].convolution.weight.data.fill_(1e38)

    with pytest.raises(NonFiniteError, match=rf"output of {network}\.blocks\.0"):
        fitted(tmp_path, 0.16, [Overflow()])


def test_networks_that_do_not_grow_or_end_elsewhere_are_refused():
    adam = torch.optim.Adam
    fixed = dcgan.Generator(32, 1, 8, 4), dcgan.Discriminator(32, 1, 4)
    with pytest.raises(ValueError, match=r"model\.growth: .*does not grow; leave it null"):
        GAN(*fixed, Wasserstein(), adam, adam, growth=Growth(32))
    with pytest.raises(ValueError, match=r"growth\.resolution=32 needs 4 levels"):
        system_of(1.0, growth=Growth(32))


def test_growing_leaves_the_optimizers_alone_within_a_level():
    system = system_of(1.0)
    optimizers = system.configure_optimizers()
    system._trainer = SimpleNamespace(optimizers=optimizers)
    grow(system, SCHEDULE)
    optimizers[0].state[system.generator.blocks[0][0].convolution.weight]["step"] = 5
    system.images_seen = 8
    grow(system, SCHEDULE)
    assert optimizers[0].state
    system.images_seen = LEVEL_1
    grow(system, SCHEDULE)
    assert not optimizers[0].state
