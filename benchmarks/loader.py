"""Images per second from every container, beside those of the small StyleGAN2's training step.

    python benchmarks/loader.py           # folder, zip, tar, lmdb, arrays at 64 and 256 px
    python benchmarks/loader.py --sizes 64 --images 4000

"files" is the first start: every image opened, decoded and fitted. "memory" is what training takes
afterwards, batches with labels, mirrored half of the time; "mapped" the same from the file that
larger sets are kept in. The step is the preset `stylegan2` at that size, penalties included, as
`train_step.py` measures it. All of it is wall time of one process, the best of the rounds.
"""

import argparse
import io
import json
import os
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from bare_steps import BareAdversary
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from PIL import Image

import ganlab.data
from ganlab.cli import conf_dir, register_resolvers
from ganlab.runs.provenance import commit
from ganlab.runs.recipes import build_system, check_config
from ganlab.systems.trainer import quieten

BATCH, WARM_UP = 32, 2
BARS = {"memory": 20.0, "files": 3.0}  # times the step: at 64 px, and at every size


def photographs(count, size):
    """Name -> JPEG of smooth noise, which takes as many bytes a pixel as photographs do."""
    rng = np.random.default_rng(0)
    for k in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        image = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.int16)
        noisy = (image + rng.integers(-12, 13, image.shape)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=90)
        yield f"{k % 10}/{k:06}.jpg", file.getvalue()


def written(folder, files, size):
    """Container -> function that makes a data module over these images, all on disk."""
    (folder / "files").mkdir()
    with (
        zipfile.ZipFile(folder / "a.zip", "w") as zipped,
        tarfile.open(folder / "a.tar", "w") as tar,
    ):
        for name, content in files.items():
            place = folder / "files" / name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
            zipped.writestr(name, content)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    arrays = np.stack([np.asarray(Image.open(io.BytesIO(each))) for each in files.values()])
    np.savez(folder / "a.npz", images=arrays, labels=np.arange(len(files)) % 10)
    places = {"folder": "files", "zip": "a.zip", "tar": "a.tar", "arrays": "a.npz"}
    if write_lmdb(folder / "lmdb", files):
        places["lmdb"] = "lmdb"
    readers = {"zip": ganlab.data.zipped}
    readers |= {name: getattr(ganlab.data, name) for name in places if name != "zip"}
    options = {
        "resolution": size,
        "batch_size": BATCH,
        "flip": True,
        "cache_dir": str(folder / "c"),
    }
    return {
        name: lambda name=name, place=place, **more: readers[name](
            str(folder / place), **options, **more
        )
        for name, place in places.items()
    }


def write_lmdb(place, files):
    """Whether there is the library that writes it; it is read without."""
    try:
        import lmdb
    except ImportError:
        return False
    with lmdb.open(str(place), map_size=2**32) as file, file.begin(write=True) as transaction:
        for name, content in files.items():
            transaction.put(name.encode(), content)
    return True


def rates(make, rounds):
    """Images a second: decoded from the files, taken from memory, taken from a mapped file."""
    best = dict.fromkeys(("files", "memory", "mapped"), 0.0)
    for _ in range(rounds):
        data, start = make(), time.perf_counter()
        data.prepare_data()
        data.setup("fit")
        best["files"] = max(best["files"], len(data.dataset) / (time.perf_counter() - start))
        best["memory"] = max(best["memory"], taken(data))
        mapped = make(memory_budget_mb=0)
        mapped.prepare_data()
        mapped.setup("fit")
        best["mapped"] = max(best["mapped"], taken(mapped))
    return best


def taken(data, seconds=1.0):
    """Images a second of the training loader, as floats."""
    batches, count, start = iter(data.train_dataloader()), 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += len(data.on_after_batch_transfer(next(batches), 0))
    return count / (time.perf_counter() - start)


def step_rate(size, steps):
    """Images a second of the training step of the small StyleGAN2, without reading any."""
    register_resolvers()
    words = ["model=stylegan2", "data=synthetic", f"data.resolution={size}"]
    words += [f"data.batch_size={BATCH}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", words)
    with open_dict(config):
        config.run_dir = "unused"
    step = BareAdversary(build_system(check_config(config, "train")))
    images = torch.rand(BATCH, 3, size, size) * 2 - 1
    for count in range(WARM_UP):
        step(images, count)
    start = time.perf_counter()
    for count in range(WARM_UP, WARM_UP + steps):
        step(images, count)
    return steps * BATCH / (time.perf_counter() - start)


def measured(size, count, options):
    """Container -> its rates, and how many times the step's they are."""
    step = step_rate(size, options.steps)
    files = dict(photographs(count, size))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANLAB_CACHE"] = folder
        sources = written(Path(folder), files, size)
        found = {name: rates(make, options.rounds) for name, make in sources.items()}
    times = {name: {k: v / step for k, v in row.items()} for name, row in found.items()}
    return {"step": step, "images_per_second": found, "times_the_step": times}


def below(found):
    """What does not reach its bar, in words."""
    for size, result in found.items():
        for name, row in result["times_the_step"].items():
            for kind, bar in BARS.items():
                if row[kind] < bar and (kind == "files" or size == "64"):
                    yield f"{name} at {size} px, {kind}: {row[kind]:.1f} times the step, not {bar}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--images", type=int, default=2000, help="at 64 px; a quarter above")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    quieten()
    torch.set_num_threads(os.cpu_count() or 1)
    found, counts = {}, {}
    print(f"{'':14}" + "".join(f"{each:>10}" for each in ("files", "memory", "mapped", "step")))
    for size in options.sizes:
        counts[str(size)] = count = options.images if size <= 64 else options.images // 4
        result = found[str(size)] = measured(size, count, options)
        for name, row in result["images_per_second"].items():
            cells = "".join(f"{rate:10,.0f}" for rate in [*row.values(), result["step"]])
            print(f"{name:8}{size:4}px{cells}", flush=True)
    failures = list(below(found))
    if options.out:
        command = " ".join(["python benchmarks/loader.py", *sys.argv[1:]])
        made = {"command": command, "commit": commit(), "seed": 0, "n": counts}
        made |= {"batch_size": BATCH, "rounds": options.rounds, "steps": options.steps}
        made |= {"cores": os.cpu_count(), "torch": torch.__version__}
        options.out.write_text(json.dumps({**made, "sizes": found}, indent=2) + "\n")
    sys.exit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
