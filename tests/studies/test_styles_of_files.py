"""Files of w and w+ as `study.latents`: taken by what paints them, refused by what draws anew."""

import numpy as np
import pytest
import torch
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan, small_stylegan2
from test_timeline import saved

from ganlab.report.drawings import Picture
from ganlab.sampling import Sampler
from ganlab.studies import (
    Arithmetic,
    Interpolation,
    NeuronFigures,
    Samples,
    SequentialAblation,
    StyleMixing,
    Timeline,
    Truncation,
    UnitAblation,
)
from ganlab.studies.latents.latent_set import latent_set


@pytest.fixture
def files(tmp_path):
    """The same four w by shape, and what they are as styles of every layer."""
    generator = small_stylegan2()
    styles = Sampler(generator).styles(range(4))
    forms = {"flat": styles[:, 0], "one": styles[:, :1], "plus": styles}
    for name, values in forms.items():
        np.save(tmp_path / f"{name}.npy", values.numpy())
    np.savez(tmp_path / "projected_w.npz", w=styles.numpy())
    np.savez(tmp_path / "z.npz", z=Sampler(generator).latents(range(4)).numpy())
    return generator, styles, {path.stem: str(path) for path in tmp_path.iterdir()}


def test_w_is_w_plus_of_equal_layers(files):
    generator, styles, named = files
    for name in ("flat", "one", "plus", "projected_w"):
        found = latent_set(generator, named[name], 0)
        assert torch.equal(found.values, styles), name
    assert torch.equal(
        latent_set(generator, named["z"], 0).values, Sampler(generator).latents([0, 1, 2, 3])
    )


def test_a_width_that_both_have_is_z_unless_the_file_says_w(tmp_path):
    generator = small_stylegan(8)  # 8 numbers either way
    values = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", w=values)
    np.save(tmp_path / "c.npy", values[:, None])
    found = [
        latent_set(generator, str(tmp_path / n), 0).values for n in ("a.npy", "b.npz", "c.npy")
    ]
    assert torch.equal(found[0], torch.from_numpy(values))
    assert torch.equal(found[1], torch.from_numpy(values)[:, None].expand(-1, 4, -1))
    assert torch.equal(found[2], found[1])
    assert latent_set(generator, str(tmp_path / "a.npy"), 0).source == "rows of a.npy, taken for z"


def test_studies_paint_w_plus_as_they_paint_its_latents(files, tmp_path):
    """Each study, given styles, leaves the pictures that it makes of the latents they come from."""
    generator, _, named = files
    kept = saved(tmp_path / "kept", [(1000, generator), (2000, generator)])
    asked = {
        "samples": lambda given: Samples(latents=given, form="npz", directory=tmp_path / "out"),
        "truncation": lambda given: Truncation(latents=given, directory=tmp_path / "out"),
        "timeline": lambda given: Timeline(
            latents=given, checkpoints=str(kept), directory=tmp_path / "out"
        ),
        "mixing": lambda given: StyleMixing(a=given, b=given, directory=tmp_path / "out"),
        "interpolation": lambda given: Interpolation(
            latents=given, num_steps=3, spaces=["w"], animation=None, directory=tmp_path / "out"
        ),
        "arithmetic": lambda given: Arithmetic(
            a=given, b=given, c=given, space="w", directory=tmp_path / "out"
        ),
    }
    for study, question in asked.items():
        pictures = {}
        for name in ("z", "flat", "plus"):
            findings = run(question(named[name]), generator).findings
            if study == "samples":
                pixels = np.load(tmp_path / "out" / "samples.npz")["arr_0"]
            else:
                pixels = next(x.pixels for x in findings.figures.values() if isinstance(x, Picture))
            pictures[name] = pixels.astype(int)
        assert pictures["plus"].std() > 0
        width = min(each.shape[1] for each in pictures.values())  # captions differ: `0`, `row 0`
        for name in ("flat", "plus"):
            assert (
                np.abs(pictures[name][:, -width // 2 :] - pictures["z"][:, -width // 2 :]).max()
                <= 1
            ), study


def test_styles_have_no_paths_in_z(files, tmp_path):
    generator, _, named = files
    run(
        Interpolation(latents=named["plus"], num_steps=3, animation=None, directory=tmp_path / "o"),
        generator,
    )
    names = {path.stem for path in (tmp_path / "o" / "figures").glob("interpolation_*_*.png")}
    assert names == {"interpolation_w_linear", "interpolation_w_spherical"}
    with pytest.raises(ValueError, match=r"study\.spaces=\['z'\]: study\.latents=.* holds styles"):
        run(Interpolation(latents=named["plus"], spaces=["z"]), generator)


@pytest.mark.parametrize(
    ("key", "question"),
    [
        ("latents", lambda file: SequentialAblation(latents=file, num_latents=4)),
        ("latents", lambda file: UnitAblation(latents=file, num_latents=4)),
        ("normal", lambda file: NeuronFigures(latents=[1], normal=file, num_latents=4)),
        ("indices", lambda file: Samples(indices=file)),
    ],
)
def test_studies_that_draw_latents_anew_refuse_them(files, key, question):
    generator, _, named = files
    with pytest.raises(ValueError, match=rf"study\.[a-z_ or.]*{key}=.*array of latents or styles"):
        run(question(named["plus"]), generator)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", np.zeros((2, 3, 6)), r"takes numbers \(N, 8\) or \(N, 4, 6\) or \(N, 1, 6\)"),
        ("x.npz", {"w": np.zeros((2, 8))}, r"takes numbers \(N, 4, 6\) or \(N, 1, 6\) or \(N, 6\)"),
        ("x.npz", {"z": np.zeros((2, 6))}, r"takes numbers \(N, 8\)$"),
        ("x.npz", {"images": np.zeros(3)}, r"it has images, and not z or w alone"),
    ],
)
def test_other_shapes_are_one_line(tmp_path, name, content, message):
    (np.savez if name.endswith("z") else np.save)(
        tmp_path / name, **(content if isinstance(content, dict) else {"arr": content})
    )
    with pytest.raises(ValueError, match=rf"study\.a=.*{message}"):
        latent_set(small_stylegan2(), str(tmp_path / name), 0, "study.a")


def test_w_of_a_generator_without_styles_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", w=np.zeros((1, 6)))
    with pytest.raises(ValueError, match="this generator has no w"):
        latent_set(ConvGenerator(), str(tmp_path / "x.npz"), 0)
