import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator
from styled_toys import run, small_stylegan2

from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.studies import Arithmetic
from ganlab.studies.latents.arithmetic import displace, displacement
from ganlab.systems.conditioning import Labels

GROUPS = {"a": [4, 11, 3], "b": [8, 0], "c": [7, 9, 2, 1]}


@pytest.mark.parametrize("shape", [(6,), (5, 6)])
def test_no_displacement_is_the_identity_bit_for_bit(shape):
    starts, group = (torch.randn(n, *shape) for n in (3, 4))
    assert torch.equal(displace(starts, displacement(group, group.clone())), starts)


def test_arithmetic_by_loop():
    a, b, c = (torch.randn(n, 6) for n in (3, 2, 4))
    found = displace(a, displacement(b, c))
    for start, result in zip(a, found, strict=True):
        for i in range(6):
            minus = sum(float(z[i]) for z in b) / 2
            plus = sum(float(z[i]) for z in c) / 4
            assert result[i].item() == pytest.approx(float(start[i]) - minus + plus, abs=1e-6)


def test_the_mean_start_is_radfords_form():
    a, b, c = (torch.randn(n, 6) for n in (3, 3, 3))
    found = displace(a, displacement(b, c), "mean")
    torch.testing.assert_close(found, (a.mean(0) - b.mean(0) + c.mean(0))[None])
    with pytest.raises(ValueError, match="each or mean"):
        displace(a, displacement(b, c), "median")


@pytest.mark.parametrize(("start", "num"), [("each", 3), ("mean", 1)])
def test_the_study_leaves_results_in_a_row(tmp_path, start, num):
    generator = ConvGenerator()
    run(Arithmetic(directory=tmp_path, seed=2, start=start, **GROUPS), generator)
    a, b, c = (latents_at(generator, GROUPS[key], 2) for key in "abc")
    first = a if start == "each" else a.mean(0, keepdim=True)
    expected = first - b.mean(0) + c.mean(0)
    results = np.load(tmp_path / "latents" / "arithmetic.npy")
    assert results == pytest.approx(expected.numpy(), abs=1e-6)
    numbers = np.load(tmp_path / "figures" / "arithmetic.npz")
    assert {key: numbers[key].tolist() for key in "abc"} == GROUPS
    images = Sampler(generator).paint(torch.from_numpy(results), GROUPS["a"][:num])
    with Image.open(tmp_path / "figures" / "arithmetic.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
        assert "truncation none, noise fixed" in picture.text["Description"]
    left = pixels.shape[1] - 6 * 66 - 2  # the longest row: four of C, a gap, their mean
    for i, image in enumerate(images):
        cell = pixels[2 + 3 * 66 :: 8, left + 2 + 66 * i :: 8][:8, :8]
        assert np.abs(cell - ((image[0] + 1) * 127.5).round().numpy()).max() <= 1


def test_in_w_styles_are_added(tmp_path):
    generator = small_stylegan2()
    run(Arithmetic(directory=tmp_path, seed=2, space="w", **GROUPS), generator)
    a, b, c = (generator.map(latents_at(generator, GROUPS[key], 2)).detach() for key in "abc")
    expected = (a - b.mean(0) + c.mean(0)).numpy()
    assert np.load(tmp_path / "latents" / "arithmetic.npy") == pytest.approx(expected, abs=1e-5)


def test_groups_may_be_files(tmp_path):
    generator = small_stylegan2()
    (tmp_path / "b.txt").write_text("8 0\n")
    np.save(tmp_path / "c.npy", latents_at(generator, GROUPS["c"], 2).numpy())
    named = {"a": "3:6", "b": str(tmp_path / "b.txt"), "c": str(tmp_path / "c.npy")}
    run(Arithmetic(directory=tmp_path / "files", seed=2, **named), generator)
    run(Arithmetic(directory=tmp_path / "lists", seed=2, **{**GROUPS, "a": [3, 4, 5]}), generator)
    found = [np.load(tmp_path / kind / "latents" / "arithmetic.npy") for kind in ("files", "lists")]
    assert np.array_equal(*found)


def test_a_conditional_result_is_told_what_its_start_is_told(tmp_path):
    generator, labels = small_stylegan2(num_labels=3), Labels(3)
    same = {"a": [4, 5], "b": [8], "c": [8]}
    run(Arithmetic(directory=tmp_path, seed=2, **same), generator, labels)
    with Image.open(tmp_path / "figures" / "arithmetic.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    left = pixels.shape[1] - 3 * 66 - 2
    top, bottom = (pixels[2 + 66 * row : 66 * row + 66, left : left + 132] for row in (0, 3))
    assert np.abs(top - bottom).max() <= 1, "nothing is added, so nothing changes"
    expected = Sampler(generator, 2, condition_at=labels.at).batch([4]).clamp(-1, 1)[0, 0]
    assert np.abs(top[::8, 2::8][:8, :8] - ((expected + 1) * 127.5).numpy()).max() <= 1


def test_without_groups_it_is_a_picker(tmp_path, capsys):
    study = Arithmetic(directory=tmp_path, seed=2, candidates="10:22", columns=5)
    run(study, ConvGenerator())
    numbers = np.load(tmp_path / "figures" / "contact_sheet.npz")
    assert numbers["index"].tolist() == list(range(10, 22))
    with Image.open(tmp_path / "figures" / "contact_sheet.png") as picture:
        assert picture.width == 5 * 66 + 2
    assert "study.a=[0,1,2,3]" in capsys.readouterr().err
    assert not (tmp_path / "figures" / "arithmetic.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": [1]}, "go together"),
        ({"captions": ["men"]}, "three names"),
        ({"start": "median"}, r"study\.start must be each or mean"),
        ({**GROUPS, "space": "w"}, r"study\.space: there is no space w"),
        ({**GROUPS, "b": []}, r"study\.b needs latent indices"),
        ({"candidates": [-1]}, r"study\.candidates"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(Arithmetic(directory=tmp_path, **options), ConvGenerator())


def test_styles_from_a_file_need_their_space(tmp_path):
    generator = small_stylegan2()
    np.save(tmp_path / "w.npy", generator.map(torch.randn(2, 8)).detach().numpy())
    groups = {**GROUPS, "a": str(tmp_path / "w.npy")}
    with pytest.raises(ValueError, match=r"say study\.space=w"):
        run(Arithmetic(directory=tmp_path, **groups), generator)
