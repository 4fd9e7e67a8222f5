import pytest
import torch
from composing import composed
from resampled import plain_resample
from scipy import signal as dsp
from scipy import special
from stylegan2_files import persistent, write_nvidia
from torch.nn import functional as F

from ganlab.networks.base import Condition
from ganlab.networks.stylegan3 import schedule
from ganlab.run import evaluate
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system

RES, Z, W, LAYERS = 32, 6, 5, 6
SOURCE = "def forward(self, ws, update_emas=False): ..."
SIZES = [36, 36, 52, 52, 52, 32, 32]  # of the layers at 32 px, by section 3.2


def design(taps, cutoff, half_width, rate, radial=False):
    """Kaiser's filter by scipy, as a line or round."""
    if not radial:
        line = dsp.firwin(taps, cutoff, width=2 * half_width, fs=rate)
        return torch.tensor(line, dtype=torch.float32)
    window = torch.tensor(
        dsp.get_window(
            ("kaiser", dsp.kaiser_beta(dsp.kaiser_atten(taps, 4 * half_width / rate))), taps, False
        )
    )
    x = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    r = torch.hypot(x[:, None], x[None])
    plane = torch.tensor(special.j1((2 * torch.pi * cutoff * r).numpy())) / r
    plane = plane * window[:, None] * window
    return (plane / plane.sum()).float()


def resampling(i, radial):
    """Of layer i: up and down, filters, padding for a map that the convolution has grown."""
    signals = schedule(RES, LAYERS)
    before, after = signals[max(i - 1, 0)], signals[i]
    rate = 2 * max(before.rate, after.rate)
    up, down = rate // before.rate, rate // after.rate
    up_filter = design(6 * up, before.cutoff, before.half_width, rate)
    critical = i >= LAYERS - 2
    down_filter = design(6 * down, after.cutoff, after.half_width, rate, radial and not critical)
    return up, down, up_filter, down_filter


def drawn(radial=False, labels=0, mapping=2, seed=0):
    """The state of a generator, key for key, with no number left at zero or one."""
    rng = torch.Generator().manual_seed(seed)
    kernel, wide = (1 if radial else 3), [7, 7, 6, 5, 4, 4, 3]
    state = {}

    def add(name, *shape, size=1.0, mean=0.0):
        state[name] = torch.randn(shape, generator=rng) * size + mean

    width = Z + (W if labels else 0)
    if labels:
        add("mapping.embed.weight", W, labels)
        add("mapping.embed.bias", W)
    for i in range(mapping):
        add(f"mapping.fc{i}.weight", W, width, size=100)
        add(f"mapping.fc{i}.bias", W, size=20)
        width = W
    add("mapping.w_avg", W)
    for name, shape in {"weight": (7, 7), "freqs": (7, 2), "phases": (7,)}.items():
        add(f"synthesis.input.{name}", *shape)
    add("synthesis.input.affine.weight", 4, W, size=0.1)
    add("synthesis.input.affine.bias", 4, size=0.1)
    state["synthesis.input.affine.bias"][0] += 0.9
    state["synthesis.input.transform"] = torch.eye(3) + 0.01 * torch.randn(3, 3, generator=rng)
    for i, (size, outgoing) in enumerate(zip(SIZES, wide, strict=True)):
        name, incoming, k = f"synthesis.L{i}_{size}_{outgoing}", wide[max(i - 1, 0)], kernel
        k = 1 if i == LAYERS else k
        add(f"{name}.weight", outgoing, incoming, k, k)
        add(f"{name}.bias", outgoing, size=0.3)
        add(f"{name}.affine.weight", incoming, W)
        add(f"{name}.affine.bias", incoming, mean=1.0)
        state[f"{name}.magnitude_ema"] = torch.rand((), generator=rng) + 0.5
        if i < LAYERS:
            _, _, up, down = resampling(i, radial)
            state |= {f"{name}.up_filter": up, f"{name}.down_filter": down}
    return state


def affine(state, name, x, multiplier=1.0):
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.linear(x, weight * multiplier / weight.shape[1] ** 0.5, bias * multiplier)


def unit(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def styles_of(state, z, label=None):
    x, i = unit(z), 0
    if label is not None:
        x = torch.cat([x, unit(affine(state, "mapping.embed", label))], dim=1)
    while f"mapping.fc{i}.weight" in state:
        x = F.leaky_relu(affine(state, f"mapping.fc{i}", x, 0.01), 0.2) * 2**0.5
        i += 1
    return x


def sines(state, w):
    """The input, a sample and a pixel at a time in homogeneous coordinates."""
    t = affine(state, "synthesis.input.affine", w)
    maps = []
    for c, s, x, y in (t / t[:, :2].norm(dim=1, keepdim=True)).tolist():
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        shift = torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        motion = turn @ shift @ state["synthesis.input.transform"]
        axis = (torch.arange(36) - 17.5) / 16
        points = torch.stack([axis.repeat(36), axis.repeat_interleave(36), torch.ones(36 * 36)])
        moved = (motion @ points)[:2]  # f . (M p): the frequencies turn, the phases move
        waves = state["synthesis.input.freqs"] @ moved + state["synthesis.input.phases"][:, None]
        frequencies = (state["synthesis.input.freqs"] @ motion[:2, :2]).norm(dim=1)
        fade = (1 - (frequencies - 2) / (8 - 2)).clamp(0, 1)
        waves = (2 * torch.pi * waves).sin() * fade[:, None]
        maps.append((state["synthesis.input.weight"] @ waves / 7**0.5).view(7, 36, 36))
    return torch.stack(maps)


def images_of(state, w, radial=False, clamp=256.0, scale=0.25):
    x = sines(state, w)
    for i, size in enumerate(SIZES):
        name = next(key for key in state if key.startswith(f"synthesis.L{i}_"))[:-7]
        weight, style = state[f"{name}.weight"], affine(state, f"{name}.affine", w)
        gain = state[f"{name}.magnitude_ema"] ** -0.5
        last, rows = i == LAYERS, []
        for sample, s in zip(x, style, strict=True):
            own = weight * s[None, :, None, None]
            if last:
                own = own / weight[0].numel() ** 0.5
            else:
                own = own / own.square().sum((1, 2, 3), keepdim=True).sqrt()
            rows.append(F.conv2d(sample[None] * gain, own, padding=weight.shape[-1] - 1))
        x = torch.cat(rows) + state[f"{name}.bias"][:, None, None]
        if last:
            return x.clamp(-clamp, clamp) * scale
        up, down, up_filter, down_filter = resampling(i, radial)
        total = (size - 1) * down + 1 + len(up_filter) + len(down_filter) - 2 - x.shape[-1] * up
        padding = (total + up) // 2, total - (total + up) // 2
        x = plain_resample(x, up_filter, up, 1, padding) * up**2
        x = (F.leaky_relu(x, 0.2) * 2**0.5).clamp(-clamp, clamp)
        x = plain_resample(x, down_filter, 1, down, (0, 0))
    raise AssertionError("no layer makes the image")


def written(path, content):
    return write_nvidia(path, **content)


def generator(state, labels=0, **options):
    options = {"channel_base": 128, "channel_max": 7, "num_layers": LAYERS, **options}
    arguments = {"z_dim": Z, "c_dim": labels, "w_dim": W, "img_resolution": RES, "img_channels": 3}
    return persistent("Generator", state, {**arguments, **options}, SOURCE)


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("labels", [0, 3])
@torch.no_grad()
def test_images_are_those_of_the_conventions(tmp_path, radial, labels):
    state, other = drawn(radial, labels), drawn(radial, labels, seed=1)
    options = {"mapping_kwargs": {"num_layers": 2}}
    content = {
        "G": generator(other, labels, **options),
        "G_ema": generator(state, labels, **options),
    }
    content |= {"D": None, "augment_pipe": None, "training_set_kwargs": {"path": "/data"}}
    path = written(tmp_path / "file.bin", content)
    found = open_checkpoint(path)
    assert found["recipe"]["source"]["format"] == "NVIDIA's StyleGAN3"
    network = rebuild_system(found, []).generator_ema
    z = torch.randn(3, Z)
    label = torch.tensor([0, 2, 1]) if labels else None
    one_hot = None if label is None else F.one_hot(label, 3).float()
    images = network(z, None if label is None else Condition(label=label))
    expected = images_of(state, styles_of(state, z, one_hot), radial)
    assert images.shape == expected.shape == (3, 3, RES, RES)
    assert (images - expected).abs().max() < 1e-4 * expected.std()
    assert torch.equal(network.mean_style, state["mapping.w_avg"])


@torch.no_grad()
def test_what_no_shape_says_is_read_from_the_arguments(tmp_path):
    state = drawn(mapping=1)
    told = {"conv_clamp": 0.4, "output_scale": 0.5, "mapping_kwargs": {"num_layers": 1}}
    network = rebuild_system(
        open_checkpoint(written(tmp_path / "a.pkl", {"G_ema": generator(state, **told)})), []
    ).generator_ema
    z = torch.randn(2, Z)
    expected = images_of(state, styles_of(state, z), clamp=0.4, scale=0.5)
    assert (network(z) - expected).abs().max() < 1e-4 * expected.std()


def changed(**changes):
    state = drawn()
    for name, value in changes.items():
        key = next(key for key in state if key.endswith(name.replace("__", ".")))
        if value is None:
            del state[key]
        else:
            state[key] = value
    return {"G_ema": generator(state)}


WRONG = {
    r"lacks synthesis\.input\.phases": changed(phases=None),
    r"L0_36_7\.bias in shape \[3\]": changed(L0_36_7__bias=torch.ones(3)),
    r"another filter in synthesis\.L1_36_7\.down": changed(L1_36_7__down_filter=torch.ones(12)),
    "the option filter_taps=90000, which should be at least 1 and at most 64": {
        "G_ema": generator(drawn(), filter_size=90_000)
    },
    "the option margin=ten, which should be a whole number": {
        "G_ema": generator(drawn(), margin_size="ten")
    },
    "has L0_36_7, where its options make 28": {"G_ema": generator(drawn(), first_stopband=2.5)},
    "the option blur, which": {"G_ema": generator(drawn(), blur=3)},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_says_what_is_wrong(tmp_path, message):
    path = written(tmp_path / "wrong.pkl", WRONG[message])
    with pytest.raises(ValueError, match=message) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)


def test_arguments_that_are_none_are_passed_over(tmp_path):
    network = generator(drawn())
    network.meta["state"]["_init_args"] = float("nan")
    found = open_checkpoint(written(tmp_path / "a.pkl", {"G_ema": network}))
    assert found["recipe"]["model"]["generator"]["resolution"] == RES


def test_reading_draws_no_random_number(tmp_path):
    path = written(tmp_path / "a.pkl", {"G_ema": generator(drawn())})
    before = torch.get_rng_state()
    open_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("study", ["activation_rates", "style_mixing"])
def test_studies_take_it(tmp_path, study):
    path = written(tmp_path / "a.pkl", {"G_ema": generator(drawn())})
    words = [f"ckpt={path}", f"study={study}"]
    words += ["study.num_latents=8"] if study == "activation_rates" else []
    config = composed("evaluate", words, tmp_path / "run")
    result = evaluate(config)
    assert result["status"] == "done"
    assert result["source"]["format"] == "NVIDIA's StyleGAN3"
    assert list((tmp_path / "run" / "figures").glob("*.png"))
