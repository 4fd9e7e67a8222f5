"""Benchmarks are run for their claims of equal work; nothing here is timed."""

import ast
import importlib.util
import sys
from argparse import Namespace
from copy import deepcopy
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


def loaded(name):
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # as where a script is run: they import each other
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bare_loop_is_short_and_knows_no_lightning():
    tree = ast.parse((FOLDER / "overhead.py").read_text())
    bare = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "bare")
    assert bare.end_lineno - bare.lineno + 1 <= 60
    names = {node.id for node in ast.walk(bare) if isinstance(node, ast.Name)}
    assert not names & {"GAN", "Callback", "make_trainer"}


def test_both_loops_end_at_the_same_weights(tmp_path):
    overhead = loaded("overhead")
    data = overhead.synthetic(num=256, resolution=32, channels=1, batch_size=overhead.BATCH)
    data.prepare_data()
    data.setup("fit")
    _, *plain = overhead.bare(data, 4, 8)
    _, *ours = overhead.framework(data, 4, 8, tmp_path)
    gaps = list(map(overhead.largest_difference, plain, ours))
    assert max(gaps) <= 1e-6
    _, *longer = overhead.bare(data, 4, 9)
    assert max(map(overhead.largest_difference, longer, ours)) > 1e-6, "the comparison can fail"


def test_what_is_imported_are_the_tensors_that_are_loaded(tmp_path):
    from ganlab.interop.nvidia_stylegan2 import generator
    from ganlab.run import generator_of

    loaded("imports").write(tmp_path, {"resolution": 16, "width": 4, "max_width": 8})
    plain = torch.load(tmp_path / "plain.pt", weights_only=True)["G_ema"]
    found = generator_of(tmp_path / "network.pkl").state_dict()
    names = {mine: theirs for mine, theirs in generator(16).items() if theirs in plain}
    assert {theirs for theirs in plain if "resample_filter" not in theirs} == {*names.values()}
    assert all(torch.equal(found[mine], plain[theirs]) for mine, theirs in names.items())


def test_two_checkouts_are_measured_in_turns():
    overhead, asked = loaded("overhead"), []

    def side(name):
        def one():
            asked.append(name)
            return {"bare": 2.0, "framework": 2.0 + len(asked), "gap": 0.0}

        return one

    found = overhead.in_turns({"here": side("here"), "beside": side("beside")}, 2)
    assert asked == ["beside", "here", "here", "beside"]
    assert overhead.ratios(found["here"])["cpu_time_ratios"] == [2.0, 2.5]
    assert overhead.ratios(found["beside"])["cpu_time_ratio"] == (1.5 + 3.0) / 2


def test_a_kimg_costs_what_a_longer_training_takes_beyond_a_shorter_one(monkeypatch):
    module = loaded("equal_time")
    cost = {"a": 4.0, "b": 10.0}  # beside 7 s of beginning and ending
    monkeypatch.setattr(module, "cpu_seconds", lambda words, kimg: 7 + cost[words] * kimg)
    found = module.summary(module.measured({"first": "a", "other": "b"}, 2))
    assert found["first"] == {"seconds_a_kimg": 4.0, "time_ratio": 1.0}
    assert found["other"] == {"seconds_a_kimg": 10.0, "time_ratio": 2.5}


@pytest.mark.parametrize("name", ["semantic_pyramid", "stylegan2"])
def test_steps_of_conditioned_and_styled_models_are_made_bare(name):
    """Each with all of its penalties: every network's weights move, the average's too."""
    module = loaded("train_step")
    system, data = module.prepared(name, 4)
    system.intervals = dict.fromkeys(system.intervals, 1)  # lazy penalties fall due at once
    step = module.BareAdversary(system)
    networks = (system.generator, system.discriminator, step.average)
    before = [deepcopy(network.state_dict()) for network in networks]
    step(data.dataset.images(torch.arange(4)).float() / 127.5 - 1, 0)
    for network, old in zip(networks, before, strict=True):
        named = dict(network.named_parameters())
        moved = [key for key, value in named.items() if not torch.equal(value, old[key])]
        assert len(moved) > len(named) / 2  # one level's masks let one part of a pyramid learn


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """The benchmark of the scores with tiny features, and their folder."""
    module, folder = loaded("metrics"), tmp_path_factory.mktemp("features")
    module.SIZES["tiny"] = (150, 12)
    module.make_features(folder, "tiny")
    return module, folder


def test_all_sides_of_a_score_compute_the_same(scores):
    module, folder = scores
    for comparison, tasks in module.TASKS.items():
        runs = {who: [module.measure(comparison, who, folder)] for who in tasks}
        alike = comparison != module.BESIDE
        found = module.summary(runs, alike)
        assert next(iter(found.values()))["time_ratio"] == 1
        gaps = [sides.get("largest_relative_difference") for sides in found.values()]
        assert all(gap < 1e-6 if alike else gap is None for gap in gaps)
        assert all(sides["peak_mib"] > 1 for sides in found.values())


def test_scores_that_differ_are_not_compared(scores):
    module, folder = scores
    run = module.measure("fid", "ganlab", folder)
    with pytest.raises(AssertionError, match="other computes something else"):
        module.summary({"ganlab": [run], "other": [run | {"values": [1.01 * run["values"][0]]}]})


def test_the_parent_of_measured_processes_stays_small():
    """On Linux a child's peak memory starts at what its parent held."""
    tree = ast.parse((FOLDER / "metrics.py").read_text())
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in top}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_is_described(path):
    assert f"`{path.name}`" in (FOLDER / "README.md").read_text()
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("name", ["dcgan", "stylegan2"])
def test_every_way_of_counting_rates_ends_at_the_same(name):
    rates = loaded("rates")
    generator = rates.network(name, 4)
    found = {way: rates.seconds(way, generator, 110)[1] for way in rates.WAYS}
    for way in ("ours", "ours_and_images"):
        rates.check_equal(found[way], found["naive"])
    with pytest.raises(AssertionError, match="not the same rates"):
        rates.check_equal(rates.ours(generator, 109), found["naive"])


def test_ratios_of_rates_are_of_what_was_added():
    rows = [{"plain": 10.0, "ours": 11.0, "ours_and_images": 12.0, "naive": 15.0}] * 3
    found = loaded("rates").time_ratios(rows)
    assert found["ours_over_generation"] == pytest.approx(1.1)
    assert found["ours_and_images_overhead_over_naive_overhead"] == pytest.approx(0.4)
    assert found["naive_over_generation"] == pytest.approx(1.5)


def test_both_ways_through_a_kernel_end_at_the_same_values():
    kernels = loaded("kernels")
    assert kernels.ratio(
        lambda: kernels.curvature(kernels.plain_blur),
        lambda: kernels.curvature(kernels.Blur()),
        rounds=2,
        tolerance=1e-3,
    )["ours"]
    plain = kernels.curvature(kernels.plain_blur)
    with pytest.raises(AssertionError):
        kernels.ratio(lambda: plain, lambda: plain + 1, rounds=2, tolerance=1e-3)


def test_every_container_of_the_loaders_benchmark_holds_the_same_images(tmp_path):
    loader = loaded("loader")
    files = dict(loader.photographs(6, 16))
    found = {}
    for name, make in loader.written(tmp_path, files, 16).items():
        data = make()
        data.prepare_data()
        data.setup()
        found[name] = data.dataset.pixels
    assert {"folder", "zip", "tar", "arrays"} <= {*found}
    assert all((each == found["folder"]).all() for each in found.values())


def test_what_is_slower_than_its_bar_is_named():
    loader = loaded("loader")
    times = {"tar": {"files": 2.9, "memory": 19.9, "mapped": 1.0}}
    fine = {"tar": {"files": 3.0, "memory": 20.0, "mapped": 1.0}}
    found = {"64": {"times_the_step": times}, "256": {"times_the_step": times}}
    assert [text.partition(":")[0] for text in loader.below(found)] == [
        *("tar at 64 px, memory", "tar at 64 px, files", "tar at 256 px, files")
    ]
    assert not [*loader.below({"64": {"times_the_step": fine}})]


def test_a_move_of_a_slider_is_a_picture_of_its_own(tmp_path, monkeypatch):
    from ganlab.app.session import Session
    from ganlab.systems.pretrained import Pretrained

    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path))
    explorer = loaded("explorer")
    torch.manual_seed(0)
    session = Session("toy", Pretrained(explorer.stylegan2.Generator(16, 3, 8, 8, 4, 8, 2)))
    session.generator.mean_style.normal_()
    moves = explorer.moves_of(session)
    assert {*moves} == {"rate", "between", "truncation"}
    for name in ("between", "truncation"):
        assert moves[name](0.3)[0].png != moves[name](0.8)[0].png


@pytest.mark.slow
def test_memory_is_measured_of_passes_with_the_same_gradients():
    found = loaded("memory").compared("r1", Namespace(resolution=8, batch=2))
    assert all(ratio > 0 for ratio in found["recomputed_over_kept"].values())


def test_floor_repeats_the_convolutions_and_products_of_a_pass():
    peers = loaded("peers")
    images, kernel = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3, requires_grad=True)
    with peers.Recorder() as recorder:
        maps = torch.nn.functional.conv2d(images, kernel, padding=1)
        (maps.relu().flatten(1) @ torch.ones(320, 1)).sum().backward()
    assert {func.overloadpacket.__name__ for func, _ in recorder.calls} == {
        "convolution",
        "convolution_backward",
        "mm",
    }
    convolution = (
        2 * 2 * 5 * 8 * 8 * 3 * 3 * 3
    )  # multiply-adds count twice; the backward of weights
    assert recorder.flop == 2 * convolution + 2 * (2 * 2 * 320)
    assert peers.floor_of(recorder.calls) > 0


def test_an_argument_is_made_again_with_its_strides():
    peers = loaded("peers")
    crossed = torch.randn(2, 3, 4, 5).transpose(1, 2).expand(2, 4, 3, 5)
    again = peers.made(peers.described(crossed), last=False)
    assert (again.shape, again.stride()) == (crossed.shape, crossed.stride())
    assert peers.made(peers.described([1, 2]), last=True) == [1, 2]
    last = peers.made(peers.described(crossed), last=True)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_exponents_are_slopes_and_axes_end_where_memory_or_time_does():
    growth = loaded("growth")
    assert growth.exponent([1, 2, 4, 8], [9, 12, 48, 192]) == pytest.approx(2)  # of the last three

    def cubic(size):
        return None if size > 32 else {"seconds": size**3, "peak_mib": 7.0}

    found = growth.curve(cubic, [4, 8, 16, 32, 64], seconds=1e9)
    assert [point["size"] for point in found["points"]] == [4, 8, 16, 32]
    assert found["ended"] == "64 does not fit"
    assert found["exponents"] == {"seconds": pytest.approx(3), "peak_mib": pytest.approx(0)}
    found = growth.curve(cubic, [4, 8, 16, 32], seconds=5000)  # 16 takes 4096, 32 would 32768
    assert [point["size"] for point in found["points"]] == [4, 8, 16]
    assert found["ended"] == "32 would take longer than 5000 s a step"


@pytest.mark.slow
def test_a_point_that_does_not_fit_is_told_from_one_that_fails():
    growth = loaded("growth")
    found = growth.in_child("vae", "resolution", 32, gib=4)
    assert found["seconds"] > 0
    assert found["parameters"] > 1e5
    assert growth.in_child("stylegan2", "resolution", 512, gib=1) is None
    with pytest.raises(SystemExit, match="dcgan, resolution 33"):
        growth.in_child("dcgan", "resolution", 33, gib=4)


def test_a_run_on_paper_is_its_arithmetic():
    growth = loaded("growth")
    found = growth.on_paper(
        flop=growth.PEAK * growth.SHARE / 1000, of_generator=1, of_discriminator=1
    )
    # A thousand images a second and GPU: 25 million take 25,000 s of one, 3,125 s of eight.
    assert found["seconds_a_kimg"] == pytest.approx(1 / 8)
    assert found["gpu_hours"] == pytest.approx(25000 / 3600)
    assert found["price"] == pytest.approx(growth.PRICE * 25000 / 3600)
    assert found["gib"]["checkpoint"] == pytest.approx(28 / 2**30)


def test_every_trained_model_is_measured():
    names = loaded("train_step").models()
    assert {"dcgan", "vae", "r3gan"} <= {*names}
    assert "stylegan3" not in names
