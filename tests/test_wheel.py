"""The wheel: the same from any checkout, small, whole, and enough for the work of a day."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RINGS = ["hydra.searchpath=[pkg://ganlab_rings.conf]", "allow_targets=[ganlab_rings]"]
SMALL = ["data.num=60", "data.batch_size=16", "metrics.num_real=20", "metrics.num_fake=20"]
SMALL += ["metrics.metrics.kid.subset_size=10", "callbacks.health.num=4"]
GRID = ["model=vanilla", "data=fashion_mnist", "features=classifier", "metrics=smoke"]
GRID += ["kimg=0.064", *SMALL[1:]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def said_by(words, **options):
    ran = subprocess.run(words, capture_output=True, text=True, **options)
    assert ran.returncode == 0, f"{words}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Two, of two copies of the tracked files whose times differ."""
    made, environment = [], {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    for time in (1_000_000_000, 1_600_000_000):
        place = tmp_path_factory.mktemp("checkout")
        for name in said_by(["git", "ls-files", "-z"], cwd=ROOT).split("\0")[:-1]:
            copy = place / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
            os.utime(copy, (time, time))
        out = tmp_path_factory.mktemp("wheel")
        build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), "."]
        said_by(build, cwd=place, env=environment)
        made += out.glob("ganlab-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """The Python of an environment with the wheel and the example package, and nothing else."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "env", with_pip=True, symlinks=True)
    python = home / "env" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q"]
    constraints = ROOT / "constraints.txt"
    (torch,) = [line for line in constraints.read_text().split() if line.startswith("torch==")]
    # a wheel at hand, as in scripts/install, before the registry's with its CUDA packages
    subprocess.run([*pip, "--no-index", "--no-deps", torch], capture_output=True)
    rings = str(ROOT / "examples" / "ganlab_rings")
    said_by([*pip, "-c", str(constraints), str(wheels[0])])
    said_by([*pip, "--no-deps", rings])
    return python


def test_two_builds_are_equal_byte_for_byte(wheels):
    first, second = wheels
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_it_is_small_and_has_what_it_needs_and_no_more(wheels):
    assert wheels[0].stat().st_size < 25_000_000
    names = set(zipfile.ZipFile(wheels[0]).namelist())
    info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    assert {name.split("/")[0] for name in names} == {"ganlab", "hydra_plugins", info}
    licences = ("LICENSE", "ganlab/data/emoji.LICENSE", "ganlab/data/fashion_mnist.LICENSE")
    assert {f"{info}/licenses/{name}" for name in licences} < names
    assert {"ganlab/py.typed", "hydra_plugins/ganlab_local.py"} < names
    said = ["git", "ls-files", "conf", "ganlab", "hydra_plugins"]
    tracked = set(said_by(said, cwd=ROOT).split())
    ours = {f"ganlab/{name}" if name.startswith("conf/") else name for name in tracked}
    assert {name for name in names if not name.startswith(info)} == ours
    assert not any("test" in Path(name).name for name in names)


def test_from_it_alone_one_trains_resumes_evaluates_and_prints_the_table_of_a_grid(
    installed, tmp_path
):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"GANLAB_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    ganlab = str(installed.with_name("ganlab"))

    def run(*words):
        return said_by([ganlab, *words], cwd=tmp_path, env=environment)

    where = "import ganlab; print(ganlab.__file__)"
    place = said_by([str(installed), "-c", where], cwd=tmp_path, env=environment)
    assert Path(place.strip()).is_relative_to(installed.parents[1])
    run("train", *RINGS, "experiment=rings", *SMALL, "kimg=0.032", "hydra.run.dir=a")
    last = "ckpt=a/checkpoints/last.ckpt"
    run("train", *RINGS, last, "kimg=0.064")
    run("evaluate", *RINGS, last, "study=radial_profile", "study.num=20", "hydra.run.dir=b")
    table = run("train", "-m", *GRID, "seed=0,1", "grid.name=g")
    assert "fid20_classifier" in table
    assert "±" in table
    assert run("table", "outputs/multirun/g").splitlines()[:3] == [
        line for line in table.splitlines() if line.startswith("|")
    ]
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert sorted(result["images_seen"] for result in results) == [64, 64, 64, 64]
    assert {result["status"] for result in results} == {"done"}
