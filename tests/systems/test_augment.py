"""What a discriminator is shown: draws, the clock of p, what resumes, what is refused."""

import csv
import math
from functools import partial

import composing
import pytest
import torch
from torch import nn

from ganlab import losses
from ganlab.cli import one_line
from ganlab.data import synthetic
from ganlab.losses import Nonsaturating, Relativistic, r1
from ganlab.networks import dcgan, lapgan, msg_gan, semantic_pyramid, stylegan2
from ganlab.run import train
from ganlab.systems import GAN, R1
from ganlab.systems.augment import ADA, Augmentation, DiffAugment, Shown
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.running_means import RunningMeans
from ganlab.systems.schema import STATES, complaint
from ganlab.systems.trainer import make_trainer

SGD = partial(torch.optim.SGD, lr=0.05)
GEOMETRY = dict.fromkeys(("scale", "rotate", "aniso", "xfrac"), False)
PIXELS = dict.fromkeys(("xflip", "rotate90", "xint"), False)
COLOUR = dict.fromkeys(("brightness", "contrast", "lumaflip", "hue", "saturation"), False)
BOTH = pytest.mark.parametrize("made", [ADA(p=0.7), DiffAugment()], ids=["ada", "diffaugment"])


def images(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


DRAWS = StepRandomness(3, 64)


def test_at_p_0_every_scale_is_itself_to_the_bit():
    scales = [images(5, 3, size, size).float() for size in (4, 8, 16)]
    for shown, image in zip(ADA(p=0.0)(scales, DRAWS, "real"), scales, strict=True):
        assert torch.equal(shown, image)
    nothing = ADA(p=1.0, **PIXELS, **GEOMETRY, **COLOUR)
    assert torch.equal(nothing(scales[0], DRAWS, "real"), scales[0])
    left = DiffAugment(color=False, translation=0.0, cutout=0.0)(scales[1], DRAWS, "real")
    assert torch.equal(left, scales[1])


@BOTH
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_gradients_are_those_of_finite_differences_twice(made, channels):
    x = images(2, channels, 4, 4).requires_grad_()
    shown = lambda x: made(x, DRAWS, "real")  # noqa: E731
    assert torch.autograd.gradcheck(shown, (x,))
    assert torch.autograd.gradgradcheck(lambda x: shown(x) ** 2, (x,))


@BOTH
def test_ranks_and_parts_show_what_one_process_does(made):
    x = images(8, 3, 8, 8).float()
    whole = made(x, DRAWS, "real")
    assert not torch.equal(whole, x)
    for rank in range(2):
        share = StepRandomness(3, 64, rank, 2)
        shown = made(x[rank::2], share, "real")
        torch.testing.assert_close(shown, whole[rank::2], atol=1e-5, rtol=1e-5)
        for number in range(2):
            part = made(x[rank::2][number::2], share.part(number, 2), "real")
            torch.testing.assert_close(part, shown[number::2], atol=1e-5, rtol=1e-5)
    assert not torch.equal(made(x, DRAWS, "fake"), whole), "reals and fakes have their own draws"
    assert not torch.equal(made(x, StepRandomness(3, 72), "real"), whole), "as steps do"


def ramp(size):
    """(1, 1, S, S): the place across, in [-1/2, 1/2], which averages to itself."""
    line = (torch.arange(size).double() - (size - 1) / 2) / size
    return line.expand(32, 1, size, size)


@pytest.mark.parametrize(
    "made",
    [
        ADA(p=1.0, **COLOUR, **GEOMETRY, xint=False),
        ADA(p=0.8, **PIXELS, **COLOUR, xfrac=False),
        ADA(p=0.8, **PIXELS, **COLOUR),
    ],
)
def test_scales_of_a_list_are_moved_alike(made):
    """The middle of a coarse scale shows what the fine one has there, averaged."""
    fine, coarse = ramp(64), ramp(32)
    shown = made([coarse, fine], DRAWS, "real")
    averaged = torch.nn.functional.avg_pool2d(shown[1], 2)
    middle = (slice(None), slice(None), slice(12, 20), slice(12, 20))
    assert not torch.equal(shown[0], coarse)
    apart = (shown[0][middle] - averaged[middle]).abs().flatten(1).amax(dim=1)
    # edges of the mirrored picture may cross the middle of a sample that was moved far
    assert (apart < 0.01).double().mean() > 0.6
    assert apart.median() < 0.005


def test_a_fixed_move_is_the_same_share_of_every_scale():
    made, scales = DiffAugment(color=False, cutout=0.0), [torch.ones(64, 1, s, s) for s in (8, 32)]
    coarse, fine = made(scales, DRAWS, "real")
    gaps = [32 - x[:, 0].amax(dim=2 - axis).sum(dim=1) for x in (fine,) for axis in (0, 1)]
    assert {int(gap) for gap in torch.cat(gaps)} == {0, 1, 2, 3, 4}
    for axis in (0, 1):
        small = 8 - coarse[:, 0].amax(dim=2 - axis).sum(dim=1)
        large = 32 - fine[:, 0].amax(dim=2 - axis).sum(dim=1)
        assert (small - large / 4).abs().max() <= 0.5


def test_colours_keep_their_range():
    """Brightness within 1/2, contrast from 1/2 to 3/2: of a constant picture the first is all."""
    made = DiffAugment(translation=0.0, cutout=0.0)
    shown = made(torch.zeros(256, 3, 2, 2), DRAWS, "real")
    assert shown.var(dim=(1, 2, 3)).max() < 1e-12
    level = shown[:, 0, 0, 0]
    assert -0.5 <= level.min() < -0.45
    assert 0.45 < level.max() <= 0.5


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_each_change_has_probability_p(p):
    """Of 4,000 samples, five standard errors around the share that the paper's formula has."""
    x, n = images(4000, 3, 4, 4).float(), 4000
    alone = {"xflip": p / 2, "rotate90": p * 3 / 4, "scale": p, "brightness": p, "hue": p}
    alone |= {"rotate": p, "lumaflip": p / 2, "saturation": p}
    for name, share in alone.items():
        off = {**PIXELS, **GEOMETRY, **COLOUR, name: True}
        shown = ADA(p=p, **off)(x, DRAWS, "real")
        changed = (shown != x).flatten(1).any(dim=1).double().mean()
        assert abs(changed - share) < 5 * math.sqrt(share * (1 - share) / n), name


def test_r1_is_of_the_image_before_it_is_changed():
    """D(x) = <w, x> sees c x + b: its gradient by x is c w, by what it sees it would be w."""
    made, weight = ADA(p=0.9, **PIXELS, **GEOMETRY, **{**COLOUR, "contrast": True}), images(12)

    class Linear(nn.Module):
        def forward(self, x, condition=None):
            return x.flatten(1) @ weight

    x = images(6, 3, 2, 2)
    factor = (made(x, DRAWS, "penalty/r1") / x).flatten(1)[:, 0]
    assert factor.var() > 0.01
    found = r1(Shown(Linear(), made, DRAWS, "penalty/r1"), x, x, None, None, gamma=3.0)
    torch.testing.assert_close(found, 1.5 * (factor**2).mean() * weight.square().sum())


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)
        )

    def forward(self, x, condition=None):
        return self.net(x)[:, 0]


def turns_learned(p, seed=0, steps=400):
    """How often a toy paints a picture upright, turned once, twice, thrice after its training.

    Its generator knows the picture and learns these four shares alone, from the expectation of its
    loss; it begins with the third one. Reals are upright, and D sees all turned with probability p.
    """
    torch.manual_seed(seed)
    picture = torch.full((1, 8, 8), -0.5)
    picture[:, :4, :3] = 0.8
    turned = torch.stack([torch.rot90(picture, k, (1, 2)) for k in range(4)])
    made = ADA(p=p, **{**PIXELS, "rotate90": True}, **GEOMETRY, **COLOUR)
    judge, liking = Judge(), torch.tensor([0.0, 0.0, 1.0, 0.0], requires_grad=True)
    for_liking = torch.optim.Adam([liking], 0.02, betas=(0.0, 0.99))
    for_judge = torch.optim.Adam(judge.parameters(), 0.005, betas=(0.0, 0.99))
    for step in range(steps):
        shown = partial(Shown, judge, made, StepRandomness(seed, step))
        real = picture.expand(64, -1, -1, -1)
        fake = turned[torch.multinomial(liking.detach().softmax(0), 64, replacement=True)]
        loss = Nonsaturating.discriminator(shown("real")(real), shown("fake")(fake))
        loss = loss + r1(shown("r1"), real, fake, None, None, gamma=0.1)
        for_judge.zero_grad()
        loss.backward()
        for_judge.step()
        logits = shown("generator")(turned.repeat(16, 1, 1, 1)).view(16, 4)
        expected = nn.functional.softplus(-logits).mean(dim=0) @ liking.softmax(0)
        for_liking.zero_grad()
        expected.backward()
        for_liking.step()
    return liking.detach().softmax(0)


@pytest.mark.slow
def test_turns_stay_out_of_what_is_painted_unless_all_is_turned():
    """Karras et al. 2020, section 2.2: below p = 1 upright is likeliest, and the toy finds it."""
    assert turns_learned(0.8)[0] > 0.85
    assert turns_learned(1.0)[0] < 0.4, "all turns are alike, so none can be learned"


def follow(made, series, batch=10):
    """p after each step of a series of logits of reals."""
    found, tally = [], RunningMeans()
    for step, logits in enumerate(series, 1):
        made.note(torch.tensor(logits))
        made.advance(step * batch, step, tally)
        found.append(float(made.p))
    return found, tally.read()


def network(p=None, **options):
    made = ADA(p=p, **options)
    made.check(options.get("loss", Nonsaturating()), dcgan.Discriminator(32, 3, width=2))
    return made


def test_p_follows_the_signs_of_reals():
    """Every second step by 20 images of 1,000: 0.02 up above 0.6, down below, never below 0."""
    made = network(ada_kimg=1.0, interval=2)
    sure, unsure, edge = [2.0] * 10, [1.0] * 5 + [-1.0] * 5, [1.0] * 8 + [-3.0] * 2
    series = [sure, sure, sure, edge, unsure, sure, edge, edge, unsure, unsure, unsure, unsure]
    # r_t of each two steps: 1, 0.8, 0.5, 0.6 (no sign: stays), 0, 0
    found, means = follow(made, series)
    wanted = [0, 0.02, 0.02, 0.04, 0.04, 0.02, 0.02, 0.02, 0.02, 0, 0, 0]
    assert found == pytest.approx(wanted, abs=1e-6)
    assert means["augment/r_t"] == pytest.approx((1 + 0.8 + 0.5 + 0.6) / 6, abs=1e-6)
    assert means["augment/p"] == pytest.approx(sum(wanted) / 12, abs=1e-6)


def test_p_stays_below_1_and_goes_by_images_not_by_steps():
    made = network(ada_kimg=0.05, interval=1)
    assert follow(made, [[1.0]] * 4, batch=20)[0] == pytest.approx([0.4, 0.8, 1.0, 1.0])


def test_a_fixed_p_stays_and_r_t_is_seen():
    found, means = follow(network(p=0.25, interval=1), [[1.0, 1.0, 1.0, -1.0]] * 3)
    assert found == [0.25] * 3
    assert means == {"augment/p": 0.25, "augment/r_t": 0.5}


def test_after_another_augmentation_p_begins_at_the_clock_as_it_stands():
    """Not by the images seen before: 10 of 1,000 are 0.01."""
    made = network(ada_kimg=1.0, interval=1)
    made.load_state_dict(DiffAugment().state_dict(), 600, torch.device("cpu"))
    made.note(torch.ones(10))
    made.advance(610, 1, RunningMeans())
    assert float(made.p) == pytest.approx(0.01)


BOUNDARIES = {"Minimax": 0, "Nonsaturating": 0, "Hinge": 0, "LeastSquares": 0.5}


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name[0].isupper()])
def test_a_loss_says_where_reals_begin_or_the_controller_is_refused(name):
    loss, judge = getattr(losses, name)(), dcgan.Discriminator(32, 3, width=2)
    made = ADA(ada_kimg=1.0, interval=1)
    if name not in BOUNDARIES:
        with pytest.raises(ValueError, match=rf"model\.augment\.p=null.*{name}.*augment\.p=0\.3"):
            made.check(loss, judge)
        fixed = ADA(p=0.3)
        fixed.check(loss, judge)
        fixed.note(torch.ones(3))
        fixed.advance(4, 4, tally := RunningMeans())
        assert tally.read() == {"augment/p": pytest.approx(0.3)}
        return
    made.check(loss, judge)
    near = torch.tensor([0.1, 0.1, -0.1]) + BOUNDARIES[name]
    made.note(near)
    made.advance(10, 1, tally := RunningMeans())
    assert tally.read()["augment/r_t"] == pytest.approx(1 / 3)
    if name in BOUNDARIES:  # where fakes are as surely fake as reals are real, the loss is even
        real = near.double().requires_grad_()
        loss.discriminator(real, 2 * BOUNDARIES[name] - real.detach()).backward()
        assert real.grad is not None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: ADA(p=1.5), r"model\.augment\.p must be from 0\.0 to 1\.0"),
        (lambda: ADA(target=1.0), r"model\.augment\.target must be above -1\.0 and below 1\.0"),
        (lambda: ADA(ada_kimg=0.0), r"model\.augment\.ada_kimg must be above 0"),
        (lambda: ADA(interval=0), r"model\.augment\.interval at least 1"),
        (lambda: DiffAugment(cutout=1.5), r"model\.augment\.cutout must be from 0\.0 to 1\.0"),
        (lambda: DiffAugment(translation=-0.1), r"model\.augment\.translation must be from 0\.0"),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_their_keys(made, words):
    with pytest.raises(ValueError, match=words):
        made()


@BOTH
@pytest.mark.parametrize("judge", [
    lapgan.Discriminator(16, 1, hidden=(4,), width=2),
    semantic_pyramid.Discriminator(16, 1, width=2, max_width=4),
])  # fmt: skip
def test_fakes_that_are_painted_on_reals_are_not_changed(made, judge):
    with pytest.raises(ValueError, match=r"model\.augment: .*painted on.*model/augment=none"):
        made.check(Nonsaturating(), judge)


@pytest.mark.parametrize("state", [
    {"p": torch.tensor(1.5)}, {"p": torch.tensor(float("nan"))}, {"p": 0.5},
    {"signs": torch.tensor([3.0, 2.0])}, {"signs": torch.zeros(3)}, {"adapted_at": -1},
])  # fmt: skip
def test_a_state_that_cannot_be_is_named(state):
    sound = ADA().state_dict()
    assert complaint({"augment": [sound]}, STATES) is None
    assert complaint({"augment": [{}]}, STATES) is None
    (name,) = state
    assert f"augment[0].{name}" in complaint({"augment": [{**sound, **state}]}, STATES)


def stylegan(made, accumulate=1):
    torch.manual_seed(0)
    sizes = {"resolution": 16, "channels": 3, "width": 4, "max_width": 8}
    networks = (
        stylegan2.Generator(latent_dim=8, style_dim=8, mapping_layers=2, **sizes),
        stylegan2.Discriminator(group_size=2, **sizes),
    )
    penalties = {"penalties": {"r1": R1(1.0)}, "intervals": {"r1": 2}}
    options = {"accumulate": accumulate, "augment": made, "kimg": 0.032, **penalties}
    return GAN(*networks, Nonsaturating(), SGD, SGD, **options)


def fit(made, channels=3):
    data = synthetic(num=40, resolution=16, channels=channels, batch_size=8, seed=3)
    make_trainer("cpu").fit(made, datamodule=data)
    return made


@pytest.mark.parametrize(
    "make", [lambda: ADA(ada_kimg=0.02, interval=1), DiffAugment], ids=["ada", "diffaugment"]
)
def test_parts_take_the_step_of_the_batch(make):
    whole, parts = fit(stylegan(make())), fit(stylegan(make(), 2))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert parts.running_means.read() == pytest.approx(
        whole.running_means.read(), rel=1e-3, abs=1e-4
    )
    if isinstance(whole.augment, ADA):
        assert 0 < parts.augment.p == whole.augment.p


def test_none_is_the_run_it_was():
    """The same weights as with an augmentation that changes nothing, which has draws of its own."""
    plain, through, still = (fit(stylegan(each)) for each in (None, Augmentation(), ADA(p=0.0)))
    for name, value in plain.state_dict().items():
        assert torch.equal(through.state_dict()[name], value)
        torch.testing.assert_close(still.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@BOTH
def test_scales_and_relativistic_losses_train(made):
    torch.manual_seed(0)
    networks = (
        msg_gan.Generator(16, 3, latent_dim=8, width=4, max_width=8),
        msg_gan.Discriminator(16, 3, width=4, max_width=8, group_size=2),
    )
    system = GAN(*networks, Relativistic(), SGD, SGD, augment=made, kimg=0.016)
    before = {name: value.clone() for name, value in system.generator.named_parameters()}
    fit(system)
    moved = [n for n, v in system.generator.named_parameters() if not v.equal(before[n])]
    assert moved
    assert system.images_seen == 16


@pytest.mark.usefixtures("hydra_is_clean")
def test_a_model_without_a_discriminator_says_which_have_a_choice(tmp_path):
    """Those that list it by their base, `_gan`, too."""
    with pytest.raises(Exception, match="model/augment") as caught:
        composing.composed("train", ["model=vae", "model/augment=ada"], tmp_path)
    said, having = one_line(caught.value).split("; those that have: ")
    assert said == "this model has no choice of model/augment"
    assert {"dcgan", "progan", "stylegan2"} <= set(having.split(", "))
    assert not {"vae", "stylegan3"} & set(having.split(", "))


WORDS = [
    *("model=dcgan", "model/augment=ada", "data=synthetic", "data.num=40", "data.resolution=32"),
    *("data.batch_size=8", "model.generator.width=4", "model.discriminator.width=4"),
    *("model.generator.latent_dim=8", "model.augment.ada_kimg=0.2", "callbacks=none"),
    *("scores=null", "checkpoint_every_kimg=null", "model.augment.interval=2"),
    "+callbacks.metrics_log._target_=ganlab.callbacks.MetricsLog",
    "+callbacks.metrics_log.every_kimg=0.04",
]


@pytest.mark.usefixtures("hydra_is_clean")
@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path, kind):
    words = [word for word in WORDS if kind == "ada" or "model.augment." not in word]
    words = [word.replace("=ada", f"={kind}") for word in words]

    def run(name, *more):
        train(composing.composed("train", [*words, *more], tmp_path / name))
        last = tmp_path / name / "checkpoints" / "last.ckpt"
        rows = list(csv.DictReader((tmp_path / name / "metrics.csv").read_text().splitlines()))
        return torch.load(last, weights_only=True), rows

    whole, rows = run("whole", "kimg=0.096")
    half, _ = run("halves", "kimg=0.04")  # five steps: amid two adaptations
    again, other = run("halves", "kimg=0.096", f"ckpt={tmp_path}/halves/checkpoints/last.ckpt")
    assert again["state_dict"].keys() == whole["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(again["state_dict"][name], value), name
    if kind == "diffaugment":
        return
    (state,), (continued,), (stopped,) = (each["augment"] for each in (whole, again, half))
    assert float(stopped["signs"][1]) == 8
    assert float(stopped["p"]) != float(state["p"])
    assert torch.equal(continued["p"], state["p"])
    columns = ("images_seen", "augment/p", "augment/r_t", "loss/discriminator")
    assert [[row[name] for name in columns] for row in other] == [
        [row[name] for name in columns] for row in rows
    ]
    assert len(rows) == 3
