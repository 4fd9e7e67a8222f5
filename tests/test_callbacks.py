import io
import math
import random
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from ganlab.callbacks import (
    TIMING_COLUMNS,
    Health,
    MetricsLog,
    Progress,
    SampleGrid,
    Throughput,
)
from ganlab.callbacks.health import near_duplicates, pixel_std
from ganlab.callbacks.progress import duration, losses
from ganlab.callbacks.throughput import Pace
from ganlab.data import synthetic
from ganlab.loggers import CSVLog, Guarded
from ganlab.networks.base import Generator
from ganlab.nn.randomness import latents_at
from ganlab.systems.running_means import RunningMeans
from ganlab.systems.system import System


class ToyGenerator(Generator):
    """One linear layer to 8x8 colour images; draws noise of its own if asked."""

    latent_dim, resolution, channels = 4, 8, 3

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise = noise
        self.linear = torch.nn.Linear(4, 3 * 8 * 8)

    def forward(self, latents, condition=None):
        images = torch.tanh(self.linear(latents)).view(-1, 3, 8, 8)
        return images + self.noise * torch.randn_like(images)


class Endless(IterableDataset):
    def __init__(self, batch_size):
        self.batch_size = batch_size

    def __iter__(self):
        while True:
            yield torch.zeros(self.batch_size)


class ToySystem(System):
    """What callbacks see of a system: a clock, an averaged generator and a tally.

    Each step draws from the global random stream and moves a weight by it, so a callback that
    touched the stream would change the weights.
    """

    def __init__(self, batch_size=10, kimg=0.2, noise=0.0):
        super().__init__()
        self.automatic_optimization = False
        torch.manual_seed(7)
        self.generator = ToyGenerator(noise)
        self.generator_ema = ToyGenerator(noise).eval().requires_grad_(False)
        self.batch_size, self.kimg, self.seed = batch_size, kimg, 0
        self.images_seen = self.images_before = 0
        self.running_means, self.restored = RunningMeans(), None

    def train_dataloader(self):
        return DataLoader(Endless(self.batch_size), batch_size=None)

    def configure_optimizers(self):
        return None

    def on_train_batch_start(self, batch, batch_idx):
        if self.restored is not None:
            torch.set_rng_state(self.restored)
            self.restored = None
        self.images_before = self.images_seen

    def training_step(self, batch, batch_idx):
        draw = torch.randn(())
        self.generator_ema.linear.weight += 0.01 * draw
        self.images_seen += self.batch_size
        self.running_means.add("loss/discriminator", draw)
        self.running_means.add("loss/generator", torch.tensor(float(self.images_seen)))
        self.running_means.add("penalty/r1", draw**2)
        if self.images_seen >= self.kimg * 1000:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint):
        checkpoint["clock"] = self.images_seen
        checkpoint["tally"] = self.running_means.state_dict()
        checkpoint["random"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint):
        self.images_seen = self.images_before = checkpoint["clock"]
        self.running_means.load_state_dict(checkpoint["tally"])
        self.restored = checkpoint["random"]


class StopAt(Callback):
    """Saves a checkpoint at one moment, goes on, and stops without notice at a later one."""

    def __init__(self, save_at, stop_at, path):
        self.save_at, self.stop_at, self.path = save_at, stop_at, path

    def on_train_batch_end(self, trainer, pl_module, *args):
        if pl_module.images_seen == self.save_at:
            trainer.save_checkpoint(self.path)
        if pl_module.images_seen == self.stop_at:
            trainer.should_stop = True


def fit(system, callbacks=(), loggers=(), ckpt=None):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        callbacks=list(callbacks),
        logger=list(loggers) or False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(system, ckpt_path=ckpt)
    return trainer


def watchers(directory, every_kimg=0.05):
    return [
        SampleGrid(directory / "samples", 2 * every_kimg, num=6, columns=3, batch_size=4),
        Progress(every_kimg),
        Throughput(every_kimg),
        Health(every_kimg, num=6, batch_size=4),
        MetricsLog(every_kimg),
    ]


def rows_of(directory, timing=True):
    import csv

    with (directory / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if timing or k not in TIMING_COLUMNS} for row in rows]


def alone(system, **trainer):
    """A trainer just large enough for one observation."""
    given = {"is_global_zero": True, "world_size": 1, "loggers": [], **trainer}
    return SimpleNamespace(**given), system


# The log


@pytest.mark.parametrize("batch", [1, 7, 13, 50])
def test_rows_are_as_many_as_multiples_and_share_the_images_out(tmp_path, batch):
    system = ToySystem(batch, kimg=1.0)
    fit(system, [MetricsLog(0.05)], [CSVLog(tmp_path)])
    rows = rows_of(tmp_path)
    assert len(rows) == 1000 // 50
    previous = 0
    for number, row in enumerate(rows, start=1):
        seen = int(row["images_seen"])
        assert seen - batch < 50 * number <= seen
        steps = range(previous + batch, seen + 1, batch)  # this row's steps and no others
        assert float(row["loss/generator"]) == pytest.approx(sum(steps) / len(steps))
        previous = seen


def test_the_last_images_get_a_row_too(tmp_path):
    fit(ToySystem(10, kimg=0.17), [MetricsLog(0.05)], [CSVLog(tmp_path)])
    assert [int(row["images_seen"]) for row in rows_of(tmp_path)] == [50, 100, 150, 170]


def test_one_moment_is_one_row_with_all_columns(tmp_path):
    fit(ToySystem(10), watchers(tmp_path), [CSVLog(tmp_path)])
    rows = rows_of(tmp_path)
    assert [int(row["images_seen"]) for row in rows] == [50, 100, 150, 200]
    assert list(rows[0]) == [
        "images_seen",
        *TIMING_COLUMNS,
        "health/pixel_std",
        "health/near_duplicates",
        "loss/discriminator",
        "loss/generator",
        "penalty/r1",
    ]
    assert all(all(row.values()) for row in rows)


def test_values_are_means_over_the_ranks():
    def reduce(values, reduce_op):
        assert reduce_op == "mean"
        return (values + torch.tensor([3.0, 8.0])) / 2  # this rank and one that holds 3 and 8

    strategy = SimpleNamespace(reduce=reduce, root_device=torch.device("cpu"))
    trainer = SimpleNamespace(world_size=2, strategy=strategy)
    means = MetricsLog(1.0).over_ranks(trainer, {"a": 1.0, "b": 2.0})
    assert means == {"a": 2.0, "b": 5.0}


@pytest.mark.parametrize("callback", [Health, MetricsLog, Progress, Throughput])
def test_a_period_below_one_image_is_refused(callback):
    with pytest.raises(ValueError, match=f"every_kimg of {callback.__name__} must be at least"):
        callback(0.0)


# Watching changes nothing


def streams():
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        random.getstate(),
    )


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_watched_run_ends_as_an_unwatched_one(tmp_path, noise):
    plain, watched = ToySystem(noise=noise), ToySystem(noise=noise)
    torch.manual_seed(1)
    fit(plain)
    expected = streams()
    torch.manual_seed(1)
    fit(watched, watchers(tmp_path), [CSVLog(tmp_path)])
    assert streams() == expected
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def files_of(directory):
    return {path.name: path.read_bytes() for path in (directory / "samples").glob("*.png")}


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize(("save_at", "stop_at"), [(70, 130), (100, 110), (100, 190), (50, 60)])
def test_a_resumed_run_is_watched_as_if_it_never_stopped(tmp_path, noise, save_at, stop_at):
    whole, broken, ckpt = tmp_path / "whole", tmp_path / "broken", tmp_path / "last.ckpt"
    torch.manual_seed(1)
    fit(ToySystem(noise=noise), watchers(whole), [CSVLog(whole)])
    torch.manual_seed(1)
    stop = StopAt(save_at, stop_at, ckpt)
    fit(ToySystem(noise=noise), [*watchers(broken), stop], [CSVLog(broken)])
    assert "timeline.png" not in files_of(broken)
    torch.manual_seed(99)
    fit(ToySystem(noise=noise), watchers(broken), [CSVLog(broken)], ckpt)
    assert rows_of(broken, timing=False) == rows_of(whole, timing=False)
    assert list(rows_of(broken)[0]) == list(rows_of(whole)[0])
    assert files_of(broken) == files_of(whole)


def test_what_lies_ahead_of_the_clock_is_forgotten_when_training_starts(tmp_path):
    fit(ToySystem(), watchers(tmp_path), [CSVLog(tmp_path)])
    (tmp_path / "samples" / "notes.png").touch()  # not one of ours: stays
    trainer, system = alone(ToySystem(), loggers=[CSVLog(tmp_path)])
    system.images_seen = 120
    for callback in watchers(tmp_path):
        callback.on_train_start(trainer, system)
    kept = ["000000000.png", "000000100.png", "notes.png", "timeline.png"]
    assert sorted(files_of(tmp_path)) == kept
    assert [row["images_seen"] for row in rows_of(tmp_path)] == ["50", "100"]


def test_nothing_leaves_the_device_between_ticks(tmp_path, monkeypatch):
    system, callbacks = ToySystem(kimg=10.0), watchers(tmp_path, every_kimg=1.0)
    trainer, _ = alone(system)
    for callback in callbacks:
        callback.on_train_start(trainer, system)

    def refuse(*args):
        raise AssertionError("a value was read between ticks")

    for name in ("item", "tolist", "cpu", "__float__", "__bool__", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    for seen in range(10, 1000, 10):
        system.images_before, system.images_seen = seen - 10, seen
        for callback in callbacks:
            callback.on_train_batch_end(trainer, system, None, None, 0)


def test_other_ranks_write_and_show_nothing(tmp_path, capsys):
    logged = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append(set(metrics)))
    trainer, system = alone(ToySystem(), is_global_zero=False, loggers=[logger])
    for callback in watchers(tmp_path)[:2] + watchers(tmp_path)[3:4]:
        callback.on_train_start(trainer, system)
        system.images_seen = 200
        callback.on_train_batch_end(trainer, system, None, None, 0)
        callback.on_train_end(trainer, system)
    assert not list(tmp_path.iterdir())
    assert not logged
    assert capsys.readouterr() == ("", "")


# Sample grids


def test_grids_are_saved_at_the_start_each_period_and_the_end(tmp_path):
    system = ToySystem(kimg=0.25)
    fit(system, [SampleGrid(tmp_path, 0.1, num=4)])
    names = ["000000000.png", "000000100.png", "000000200.png", "000000250.png", "timeline.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_noisy_generator_is_shown_with_the_same_noise_each_time(tmp_path):
    system, grids = ToySystem(noise=0.5), SampleGrid(tmp_path, 0.1, num=4, batch_size=2)
    first = grids.images(system)
    torch.manual_seed(123)
    assert torch.equal(grids.images(system), first)
    system.generator_ema.noise = 0.0
    assert not torch.equal(grids.images(system), first)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_grid_holds_the_averaged_generators_images_of_its_latents(tmp_path, batch_size):
    system = ToySystem(kimg=0.1)
    fit(system, [SampleGrid(tmp_path, 0.1, num=6, seed=5, columns=3, batch_size=batch_size)])
    images = system.generator_ema(latents_at(system.generator_ema, range(6), 5))
    with Image.open(tmp_path / "000000100.png") as file:
        assert file.info["images_seen"] == "100"
        picture = np.asarray(file).astype(float)
    assert picture.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    for i, image in enumerate(images):
        top, left = 2 + 10 * (i // 3), 2 + 10 * (i % 3)
        cell = picture[top : top + 8, left : left + 8]
        expected = (image.permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(cell - expected).max() <= 0.51  # rounding to 8 bits


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: (
            Image.open(path).convert("RGB").save(path)
        ),  # as a tool that strips what is noted
        lambda path: path.write_bytes(bytes([*path.read_bytes()[:11], 5, *path.read_bytes()[12:]])),
        lambda path: path.write_bytes(b""),
    ],
)
def test_a_grid_that_others_changed_costs_the_timeline_and_not_the_run(tmp_path, spoil):
    spoiling = Callback()
    spoiling.on_train_start = lambda *_: spoil(tmp_path / "000000000.png")
    text = r"timeline\.png was not written \(.*000000000\.png(?!.*free some)"
    with pytest.warns(UserWarning, match=text):
        fit(system := ToySystem(kimg=0.25), [SampleGrid(tmp_path, 0.1, num=4), spoiling])
    assert system.complete
    assert (tmp_path / "000000250.png").is_file()
    assert not (tmp_path / "timeline.png").exists()


def test_the_timeline_shows_each_moment_of_the_first_latents(tmp_path):
    system = ToySystem(kimg=0.2)
    fit(system, [SampleGrid(tmp_path, 0.1, num=6, columns=3, timeline_columns=2)])
    timeline = np.asarray(Image.open(tmp_path / "timeline.png"))
    moments = [np.asarray(Image.open(p)) for p in sorted(tmp_path.glob("0*.png"))]
    assert len(moments) == 3
    scale = (timeline.shape[0] - 2) // 3 // 8  # cells are enlarged by a whole factor
    pitch = 8 * scale + 2
    assert timeline.shape[0] == 3 * pitch + 2
    margin = timeline.shape[1] - (2 * pitch + 2)  # the captions' column
    assert margin > 0
    for row, moment in enumerate(moments):
        for column in range(2):
            cell = (
                moment[2:10, 2 + 10 * column : 10 + 10 * column].repeat(scale, 0).repeat(scale, 1)
            )
            top, left = 2 + row * pitch, margin + 2 + column * pitch
            shown = timeline[top : top + 8 * scale, left : left + 8 * scale]
            assert np.array_equal(shown, cell)


def test_trackers_get_one_grid_a_moment(tmp_path):
    class Gallery(CSVLog):
        def log_images(self, key, images, step):
            assert images.dtype == np.uint8
            shown.append((key, step))

    shown = []
    fit(ToySystem(), [SampleGrid(tmp_path, 0.1, num=4)], [Guarded(Gallery(tmp_path))])
    assert shown == [("samples", 0), ("samples", 100), ("samples", 200), ("timeline", 200)]


def test_small_images_of_a_growing_generator_are_enlarged(tmp_path):
    class Growing(ToyGenerator):
        def forward(self, latents, condition=None):
            images = super().forward(latents)
            return [images[..., :2, :2], images[..., :4, :4]]  # coarse to fine

    system = ToySystem()
    system.generator_ema = Growing().eval()
    with torch.no_grad():
        images = SampleGrid(tmp_path, 0.1, num=3).images(system)
        fine = system.generator_ema(latents_at(system.generator_ema, range(3), 0))[-1]
    assert torch.equal(images, fine.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_failing_tracker_never_fails_the_run(tmp_path, caplog):
    class Broken(CSVLog):
        def log_metrics(self, metrics, step=None):
            raise ConnectionError("no server")

    loggers = [Guarded(Broken(tmp_path / "broken")), CSVLog(tmp_path)]
    system = ToySystem()
    fit(system, watchers(tmp_path), loggers)
    assert system.images_seen == 200
    assert len(rows_of(tmp_path)) == 4
    assert sum("Broken failed" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("name", ["num", "columns", "batch_size", "timeline_rows"])
def test_an_empty_grid_is_refused_by_key(tmp_path, name):
    with pytest.raises(ValueError, match=rf"callbacks\.sample_grid\.{name} must be at least 1"):
        SampleGrid(tmp_path, 1.0, **{name: 0})


# Progress


def test_without_a_terminal_progress_is_a_line_a_period(capsys):
    fit(ToySystem(kimg=0.2), [Progress(0.05), MetricsLog(0.05)])
    lines = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in lines if "kimg" in line]
    assert [line.split(",")[0] for line in lines] == [
        f"{k:.1f}/0.2 kimg" for k in (0.1, 0.1, 0.1, 0.2)
    ]
    pattern = r".* images/s, \d+:\d\d left, D -?\d\.\d{3} \(r1 \d\S*\) G \d+\.\d{3}"
    assert all(re.fullmatch(pattern, line.split(", ", 1)[1]) for line in lines)
    assert " G 30.000" in lines[0]  # the mean of 10, 20, 30, 40, 50: read before the log resets it
    assert " G 80.000" in lines[1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("seconds", "draws"), [(0.0, 20), (1e9, 2)])
def test_on_a_terminal_the_bar_is_redrawn_no_oftener_than_asked(monkeypatch, seconds, draws):
    reads = []

    class CountedTally(RunningMeans):
        def read(self):
            reads.append(1)
            return super().read()

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    system = ToySystem(batch_size=11, kimg=0.22)
    system.running_means = CountedTally()
    fit(system, [Progress(1.0, seconds=seconds)])
    assert len(reads) == draws
    last = terminal.getvalue().strip().split("\r")[-1]
    assert last.startswith("100%")
    assert "0.2/0.2 kimg" in last
    assert " G " in last
    assert terminal.getvalue().endswith("\n")  # the terminal is left on a new line


def test_a_resumed_bar_starts_where_the_run_stands(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    system = ToySystem(kimg=2.0)
    system.images_seen = 1000
    progress = Progress(1.0)
    progress.on_train_start(*alone(system))
    progress.close()
    assert "50%" in terminal.getvalue()
    assert "1.0/2.0 kimg" in terminal.getvalue()


def test_an_exception_finds_the_terminal_clean(monkeypatch):
    class Fails(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            raise RuntimeError("stop here")

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with pytest.raises(RuntimeError, match="stop here"):
        fit(ToySystem(), [Progress(1.0), Fails()])
    assert terminal.getvalue().endswith("\n")


def test_losses_name_the_penalties_as_part_of_the_discriminators():
    means = {
        "loss/discriminator": 1.25,
        "penalty/r1": 0.5,
        "penalty/drift": 0.001,
        "sign/real": 0.9,
    }
    assert losses(means) == "D 1.250 (r1 0.5, drift 0.001)"
    assert losses({**means, "loss/generator": 2.0}).endswith(" G 2.000")
    assert losses({}) == ""


def test_durations_are_clock_times():
    assert duration(3723) == "1:02:03"
    assert duration(math.nan) == "?"


# Throughput


def test_rates_and_time_left_follow_the_clock(tmp_path, monkeypatch):
    times = iter((100.0, 110.0, 112.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    system = ToySystem(kimg=1.0)
    trainer, _ = alone(system, loggers=[CSVLog(tmp_path)])
    throughput = Throughput(0.1)
    system.images_seen = 200  # resumed here: what was seen before was not seen by this process
    throughput.on_train_start(trainer, system)
    for seen in (300, 400):
        system.images_before, system.images_seen = system.images_seen, seen
        throughput.on_train_batch_end(trainer, system, None, None, 0)
    first, second = rows_of(tmp_path)
    assert float(first["images_per_second"]) == 10.0  # 100 images in 10 s
    assert float(first["seconds_left"]) == 70.0  # 700 images at 10 a second
    assert float(second["images_per_second"]) == 50.0  # 100 images in 2 s
    assert float(second["seconds_left"]) == 36.0  # 600 images at 200 in 12 s


def test_no_time_gives_no_rate(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    pace = Pace(0)
    pace.mark(100)
    assert math.isnan(pace.recent())
    assert math.isnan(pace.seconds_left(200))


def test_a_window_smooths_the_rate(monkeypatch):
    times = iter((0.0, 1.0, 2.0, 3.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    pace = Pace(0, window=2)
    for seen in (100, 110, 120):
        pace.mark(seen)
    assert pace.recent() == 10.0  # from the second mark on


# Health


def test_pixel_std_of_known_sets():
    image = torch.rand(1, 3, 4, 4) * 2 - 1
    assert pixel_std(image.expand(5, -1, -1, -1)).item() == pytest.approx(0, abs=1e-6)
    assert pixel_std(torch.cat([torch.ones(4, 3, 2, 2), -torch.ones(4, 3, 2, 2)])).item() == 1.0


def distinct(n):
    """n images that are all equally far from each other."""
    return torch.eye(64)[:n].view(n, 1, 8, 8)


@pytest.mark.parametrize("copies", [0, 1, 3, 6])
def test_planted_copies_are_counted_with_their_originals(copies):
    images = torch.cat([distinct(12), distinct(12)[:copies]])
    assert near_duplicates(images, 0.2).item() == pytest.approx(2 * copies / (12 + copies))


def test_near_duplicates_against_an_explicit_loop():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(20, 3, 8, 8, generator=generator).clamp(-1, 1)
    for i, strength in enumerate((0.02, 0.1, 0.19, 0.3, 0.5)):  # below and above the threshold
        images[2 * i + 1] = images[2 * i] + strength * torch.randn(3, 8, 8, generator=generator)
    rms = [[(a - b).square().mean().sqrt().item() for b in images] for a in images]
    pairs = sorted(rms[i][j] for i in range(20) for j in range(i))
    limit = max(0.2 * pairs[(len(pairs) - 1) // 2], 2 / 255)  # torch's median is the lower one
    twins = sum(any(rms[i][j] <= limit for j in range(20) if j != i) for i in range(20))
    assert 0 < twins < 20
    assert near_duplicates(images, 0.2).item() == pytest.approx(twins / 20)


def test_a_collapsed_generator_makes_only_duplicates():
    noise = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert near_duplicates(torch.zeros(16, 3, 8, 8), 0.2).item() == 1.0
    assert near_duplicates(0.001 * noise, 0.2).item() == 1.0  # apart by less than a grey level
    assert near_duplicates(0.5 * noise, 0.2).item() == 0.0


def test_health_reads_the_averaged_generator_at_fixed_latents(tmp_path):
    system = ToySystem()
    trainer, _ = alone(system, loggers=[CSVLog(tmp_path)])
    system.images_seen = 200
    Health(0.1, num=10, seed=4, batch_size=3).on_train_batch_end(trainer, system, None, None, 0)
    images = system.generator_ema(latents_at(system.generator_ema, range(10), 4))
    (row,) = rows_of(tmp_path)
    assert float(row["health/pixel_std"]) == pytest.approx(pixel_std(images).item(), rel=1e-5)
    assert float(row["health/near_duplicates"]) == near_duplicates(images, 0.2).item()


@pytest.mark.parametrize(("name", "value"), [("num", 1), ("threshold", 1.5), ("batch_size", 0)])
def test_health_refuses_bad_settings_by_key(name, value):
    with pytest.raises(ValueError, match=rf"callbacks\.health\.{name}"):
        Health(1.0, **{name: value})


REALS = {"pixel_std": 0.4, "near_duplicates": 0.0}


def judged(*ticks):
    """Lines said over ticks of (spread, share of near-duplicates), one every 1000 images."""
    health = Health(1.0)
    health.reals = REALS
    for number, (spread, copies) in enumerate(ticks, 1):
        health.judge({"pixel_std": spread, "near_duplicates": copies}, 1000 * number)


@pytest.mark.parametrize(
    ("ticks", "kimg"),
    [
        ([(0.01, 1.0)] * 5, None),  # not there yet
        ([(0.4, 0.0), (0.1, 0.0), (0.4, 0.0), (0.1, 0.0)], None),  # a dip
        ([(0.01, 1.0), (0.3, 0.1), (0.19, 0.1), (0.19, 0.1), (0.19, 0.1)], 4),
        ([(0.4, 0.0), (0.4, 0.5), (0.4, 0.5)], 3),
    ],
)
def test_fakes_that_lose_the_variety_of_reals_are_said_to_collapse_once(ticks, kimg, capsys):
    judged(*ticks)
    said = capsys.readouterr().err
    assert said.count("collapse at") == (kimg is not None)
    if kimg is not None:
        assert said.startswith(f"collapse at {kimg} kimg: of 64 generated images")
        assert "(reals 0.40). What usually helps: a larger R1" in said


def test_reals_stand_beside_the_fakes(tmp_path):
    data = synthetic(num=30, resolution=16, channels=1, batch_size=10, seed=0)
    data.prepare_data()
    data.setup()
    health = Health(0.1, num=30)
    health.on_train_start(
        SimpleNamespace(is_global_zero=True),
        SimpleNamespace(data=data, device=torch.device("cpu")),
    )
    images = data.dataset.images(range(30)).float() / 127.5 - 1
    assert health.reals["pixel_std"] == pytest.approx(pixel_std(images).item(), rel=1e-5)
    assert health.reals["near_duplicates"] == near_duplicates(images, 0.2).item()
