"""Time and peak memory of the scores beside other libraries' on the same features, as ratios.

    python benchmarks/metrics.py                  # 10,000 + 10,000 features of width 2048
    python benchmarks/metrics.py --size small     # a quick try: 1,000 + 1,000 of width 128
    python benchmarks/metrics.py --only beside_fid    # the house's scores beside its own FID

Each task runs in a process of its own, which prints its CPU seconds after loading, its peak
resident memory (libraries and features included) and its result; results of one score must agree.
A ratio says how many times as long, or how many times as much memory, the other one takes.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = {"full": (10_000, 2048), "small": (1_000, 128)}  # images of a side, width of a feature
NEIGHBOURS, SEED, BATCH = 3, 0, 500
BESIDE = "beside_fid"  # the comparison of different scores, whose values differ


def make_features(folder, size):
    """Rectified features of few factors, as pooled convolutions are, and their moments."""
    import numpy as np

    num, width = SIZES[size]
    rng = np.random.default_rng(SEED)
    mixing = rng.standard_normal((64, width)) / 8
    for side, spread, shift in (("real", 1.0, 0.0), ("fake", 0.9, 0.05)):
        signal = (rng.standard_normal((num, 64)) * spread + shift) @ mixing
        noise = 0.2 * rng.standard_normal((num, width))
        features = np.maximum(signal + noise + 0.3, 0).astype(np.float32)
        np.save(folder / f"{side}.npy", features)
        np.save(folder / f"{side}_mean.npy", features.mean(0, dtype=np.float64))
        np.save(folder / f"{side}_cov.npy", np.cov(features.astype(np.float64), rowvar=False))


def loaded(folder, dtype="float32"):
    import numpy as np

    return [np.load(folder / f"{side}.npy").astype(dtype, copy=False) for side in ("real", "fake")]


def moments(folder):
    import numpy as np

    names = [f"{side}_{part}.npy" for side in ("real", "fake") for part in ("mean", "cov")]
    return [np.load(folder / name) for name in names]


def scored(metric, real, fake):
    """Feed a metric in batches and compute it."""
    import torch

    def run():
        for features, side in ((real, True), (fake, False)):
            for batch in torch.from_numpy(features).split(BATCH):
                metric.update(batch, real=side)
        return metric.compute()

    return run


def precision_recall_ganlab(folder, dtype):
    from ganlab.metrics import PrecisionRecall

    run = scored(PrecisionRecall(k=NEIGHBOURS), *loaded(folder, dtype))
    return lambda: [float(value) for value in run().values()]


def precision_recall_scikit_learn(folder, dtype):
    import numpy as np
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    real, fake = loaded(folder, dtype)

    def radii(points):
        search = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute", metric="euclidean")
        return search.fit(points).kneighbors()[0][:, -1]  # without the point itself

    def run():
        real_radii, fake_radii = radii(real), radii(fake)
        precise, recalled, start = 0, np.zeros(len(real), bool), 0
        for block in pairwise_distances_chunked(fake, real, working_memory=64):  # MiB
            precise += (block <= real_radii).any(1).sum()
            recalled |= (block <= fake_radii[start : start + len(block), None]).any(0)
            start += len(block)
        return [float(precise / len(fake)), float(recalled.mean())]

    return run


def precision_recall_scipy(folder, dtype):
    import numpy as np
    from scipy.spatial.distance import cdist

    real, fake = loaded(folder, dtype)

    def radii(points):
        return np.partition(cdist(points, points), NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # 0 = itself

    def run():
        real_radii, fake_radii = radii(real), radii(fake)
        distances = cdist(fake, real)
        precise = (distances <= real_radii).any(1).mean()
        return [float(precise), float((distances <= fake_radii[:, None]).any(0).mean())]

    return run


def frechet_ganlab(folder):
    import torch

    from ganlab.metrics import frechet_distance

    given = [torch.from_numpy(x) for x in moments(folder)]
    return lambda: [float(frechet_distance(*given))]


def frechet_eigenvalues(folder):
    """The trace of the root by eigenvalues of the general matrix C_a C_b, as in torchmetrics."""
    import torch

    mean_a, cov_a, mean_b, cov_b = (torch.from_numpy(x) for x in moments(folder))

    def run():
        apart = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace()
        return [float(apart - 2 * torch.linalg.eigvals(cov_a @ cov_b).sqrt().real.sum())]

    return run


def frechet_sqrtm(folder):
    import numpy as np
    import scipy.linalg

    mean_a, cov_a, mean_b, cov_b = moments(folder)

    def run():
        apart = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b)
        return [float(apart - 2 * np.trace(scipy.linalg.sqrtm(cov_a @ cov_b).real))]

    return run


def score_ganlab(folder, name):
    from ganlab import metrics

    run = scored(getattr(metrics, name)(), *loaded(folder))

    def values():
        found = run()
        return [float(value) for value in (found.values() if isinstance(found, dict) else [found])]

    return values


def fid_torchmetrics(folder):
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    real, fake = loaded(folder)
    network = torch.nn.Identity()
    network.num_features = real.shape[1]
    metric = FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    run = scored(metric, real, fake)
    return lambda: [float(run())]


TASKS = {  # comparison -> who -> (function, its arguments); the first is what others are held to
    "precision_recall_float32": {
        "ganlab": (precision_recall_ganlab, "float32"),
        "scikit_learn": (precision_recall_scikit_learn, "float32"),
        "scipy_cdist": (precision_recall_scipy, "float32"),
    },
    "precision_recall_float64": {
        "ganlab": (precision_recall_ganlab, "float64"),
        "scikit_learn": (precision_recall_scikit_learn, "float64"),
    },
    "frechet_distance": {
        "ganlab": (frechet_ganlab,),
        "general_eigenvalues": (frechet_eigenvalues,),
        "scipy_sqrtm": (frechet_sqrtm,),
    },
    "fid": {"ganlab": (score_ganlab, "FrechetDistance"), "torchmetrics": (fid_torchmetrics,)},
    BESIDE: {
        "fid": (score_ganlab, "FrechetDistance"),
        "precision_recall": (score_ganlab, "PrecisionRecall"),
        "density_coverage": (score_ganlab, "DensityCoverage"),
        "mind": (score_ganlab, "MongeDistance"),
        "clipped_density_coverage": (score_ganlab, "ClippedDensityCoverage"),
        "rarity": (score_ganlab, "Rarity"),
    },
}


def measure(comparison, who, folder):
    """Run one task in this process."""
    function, *arguments = TASKS[comparison][who]
    run = function(folder, *arguments)
    wall, cpu = time.perf_counter(), time.process_time()
    values = run()
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "values": values,
    }


def in_child(folder, threads, *arguments):
    """This script's output for these arguments. A child inherits its parent's peak: stay small."""
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, __file__, "--folder", str(folder), *arguments],
        env=os.environ | dict.fromkeys(limits, str(threads)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def compared(folder, options):
    """Medians over the rounds of every task, and the ratios to the first of each comparison."""
    found = {}
    for comparison in options.only or TASKS:
        runs = {who: [] for who in TASKS[comparison]}
        for _ in range(options.rounds):
            for who in runs:
                output = in_child(folder, options.threads, "--task", comparison, who)
                runs[who].append(json.loads(output.splitlines()[-1]))
                print(f"{comparison} {who}: {runs[who][-1]}", flush=True)
        found[comparison] = summary(runs, alike=comparison != BESIDE)
    return found


def summary(runs, alike=True):
    """Medians and ratios of who computes the same, or other scores of the same features."""

    def medians(rounds):
        measured = ("cpu_seconds", "wall_seconds", "peak_mib")
        return {key: statistics.median(one[key] for one in rounds) for key in measured}

    (ours, *_), found = runs, {who: medians(rounds) for who, rounds in runs.items()}
    expected = runs[ours][0]["values"]
    for who, rounds in runs.items():
        values = found[who]["values"] = rounds[0]["values"]
        if alike:
            gap = max(abs(a - b) / abs(b) for a, b in zip(values, expected, strict=True))
            assert gap <= 1e-3, f"{who} computes something else: {values}, not {expected}"
            found[who]["largest_relative_difference"] = gap
        found[who]["time_ratio"] = found[who]["cpu_seconds"] / found[ours]["cpu_seconds"]
        found[who]["memory_ratio"] = found[who]["peak_mib"] / found[ours]["peak_mib"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--only", choices=TASKS, action="append", help="a comparison; all by default"
    )
    parser.add_argument("--out", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # of a child's features
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)  # what a child measures
    options = parser.parse_args()
    if options.task:
        print(json.dumps(measure(*options.task, options.folder)))
        return
    if options.folder:
        make_features(options.folder, options.size)
        return
    with tempfile.TemporaryDirectory() as directory:
        in_child(directory, options.threads, "--size", options.size)
        found = compared(Path(directory), options)
    # only now: at its start this process must be small, as a child's peak begins at its own
    from results import report

    from ganlab.runs.provenance import commit

    num, width = SIZES[options.size]
    result = {
        "command": f"python benchmarks/metrics.py --size {options.size} "
        f"--rounds {options.rounds} --threads {options.threads}"
        + "".join(f" --only {name}" for name in options.only or []),
        "commit": commit(),
        "seed": SEED,
        "n": num,
        "threads": options.threads,
        "images_of_a_side": num,
        "width": width,
        "k": NEIGHBOURS,
        **found,
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
