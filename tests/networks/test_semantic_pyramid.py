"""The mirror: its shapes, what is told and what is masked, truncation, statistics by level."""

import pytest
import torch
from mirrors import FASHION, VGG
from torch import nn

from ganlab.features import VGG16, FashionVGG
from ganlab.networks.base import Condition
from ganlab.networks.semantic_pyramid import Discriminator, Generator, mirror_sizes, stage_shapes
from ganlab.nn.masks import level_masks
from ganlab.nn.tracing import recorded

N = 4


def generator(**options):
    torch.manual_seed(0)
    sizes = {"resolution": 32, "channels": 1, "latent_dim": 12, "width": 4, "max_width": 16}
    return Generator(**{**sizes, "stages": FASHION, "embedding_dim": 8, **options})


def features_for(network, n=N, seed=1):
    torch.manual_seed(seed)
    return {name: torch.rand(n, *shape) for name, shape in network.stages.items()}


def told(network, *levels, n=N, keep=None, label=None):
    masks = {}
    for level in levels:
        masks |= level_masks(network.stages, level, n, keep)
    return Condition(label, features_for(network, n), masks)


def latents(network, n=N):
    return network.sample_latents(n, torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    ("extractor", "stages", "size"),
    [
        (lambda size: FashionVGG(size=size), FASHION, 32),
        (lambda size: FashionVGG(size=size), FASHION, 64),
        (lambda size: VGG16(size=size), VGG | {"fc8": [1000]}, 224),
        (lambda size: VGG16(size=size), VGG | {"fc8": [1000]}, 256),
    ],
)
def test_the_mirror_has_the_shapes_of_the_classifiers_stages(extractor, stages, size):
    """One block ends at each stage's size, and the image at twice that of the finest."""
    extractor = extractor(size)
    declared = extractor.stage_shapes(size)
    assert tuple(declared) == extractor.stage_names
    classes, small = declared["fc8"][0], {"width": 1, "max_width": 8}
    network = Generator(size, 3, stages, num_classes=classes, **small).eval()
    assert network.stages == declared
    blocks = {f"block{i}": block for i, block in enumerate(network.blocks)}
    with recorded(blocks) as ends, torch.no_grad():
        images = network(latents(network, 2), told(network, *declared, n=2))
    assert images.shape == (2, 3, size, size)
    found = {name: ends[f"block{i}"] for i, (name, _) in enumerate(network.path) if name}
    assert list(found) == list(declared)[::-1]
    for name, end in found.items():
        assert end.shape[2:] == declared[name][1:]
    assert network.path[-1] == (None, size)
    assert network.path[-2] == ("pool1", size // 2)


def test_the_small_classifier_is_mirrored_with_its_real_features():
    extractor = FashionVGG()
    images = torch.rand(2, 1, 32, 32) * 2 - 1
    features = extractor.stages(images)
    network = generator()
    masks = {name: torch.ones_like(stage[:, :1]) for name, stage in features.items()}
    assert network(latents(network, 2), Condition(None, features, masks)).shape == images.shape


@pytest.mark.parametrize("level", FASHION)
def test_masked_levels_get_no_gradient_and_the_told_one_does(level):
    network = generator()
    network(latents(network), told(network, level)).square().sum().backward()
    for name, convolution in network.fuse.items():
        gradients = [parameter.grad for parameter in convolution.parameters()]
        assert gradients
        if name == level:
            assert all(gradient is not None and gradient.any() for gradient in gradients)
        else:
            assert all(gradient is None for gradient in gradients), name
    others = [p for n, p in network.named_parameters() if not n.startswith("fuse.")]
    assert all(p.grad is not None for p in others)


def test_adam_leaves_masked_levels_as_they_are():
    network = generator()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    for level in ("fc7", "pool2", "pool2"):
        before = {n: p.clone() for n, p in network.fuse.named_parameters()}
        optimizer.zero_grad(set_to_none=True)
        network(latents(network), told(network, level)).square().sum().backward()
        optimizer.step()
        for name, parameter in network.fuse.named_parameters():
            assert torch.equal(parameter, before[name]) == (not name.startswith(level)), name


def test_masked_levels_add_exactly_nothing():
    network = generator().eval()
    with torch.no_grad():
        alone = network(latents(network), told(network, "pool2"))
        condition = told(network, "pool2")
        features = {n: f if n == "pool2" else 1e6 * f for n, f in condition.features.items()}
        assert torch.equal(
            network(latents(network), Condition(None, features, condition.masks)), alone
        )
        # A mask of zeros adds exactly nothing as well, whatever the features: there is no bias.
        zeros = {n: torch.zeros(N, 1, *s[1:]) for n, s in network.stages.items()}
        masks = zeros | condition.masks
        assert torch.equal(network(latents(network), Condition(None, features, masks)), alone)
    for convolution in network.fuse.values():
        assert convolution.bias is None


def test_what_lies_under_a_mask_is_not_seen_and_what_does_not_is():
    network = generator().eval()
    keep = torch.ones(N, 1, 32, 32)
    keep[:, :, 8:16, 8:16] = 0
    condition = told(network, "pool3", keep=keep)
    assert list(condition.masks) == ["pool1", "pool2", "pool3"]
    inside = {n: (1 - m).bool() for n, m in condition.masks.items()}
    with torch.no_grad():
        before = network(latents(network), condition)
        for name in ("pool1", "pool2"):
            for where, same in ((inside[name], True), (~inside[name], False)):
                features = dict(condition.features)
                features[name] = torch.where(where, 9.0, features[name])
                after = network(latents(network), Condition(None, features, condition.masks))
                assert torch.equal(after, before) == same


def test_the_mask_itself_is_seen():
    """Zero features under a mask of ones differ from masked ones: the mask is a channel."""
    network = generator().eval()
    nothing = {name: 0 * stage for name, stage in features_for(network).items()}
    masks = level_masks(network.stages, "pool2", N)
    with torch.no_grad():
        empty = network(latents(network), Condition(None, nothing, masks))
        masks["pool2"] = torch.zeros_like(masks["pool2"])
        assert not torch.equal(network(latents(network), Condition(None, nothing, masks)), empty)


def test_all_levels_together_give_every_parameter_a_gradient():
    network = generator()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)  # attention starts at 0
    condition = told(network, *network.stages, label=torch.tensor([0, 3, 5, 9]))
    network(latents(network), condition).square().sum().backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_label_is_heard_and_without_one_the_mean_of_the_classes_is():
    network = generator().eval()
    discriminator = Discriminator(32, 1, width=4, max_width=16).eval()
    with torch.no_grad():
        z = latents(network)
        images = {k: network(z, Condition(label=torch.full((N,), k))) for k in (0, 1)}
        assert not torch.equal(images[0], images[1])
        logits = [discriminator(images[0], Condition(label=torch.full((N,), k))) for k in range(10)]
        assert not torch.equal(logits[0], logits[1])
        torch.testing.assert_close(discriminator(images[0]), torch.stack(logits).mean(0))
        network.embedding.weight[:] = network.embedding.weight[3]
        torch.testing.assert_close(network(z), network(z, Condition(label=torch.full((N,), 3))))


def test_discriminator_projects_the_label():
    """Logits of two classes differ by the product of features and the difference of embeddings."""
    discriminator = Discriminator(32, 1, width=4, max_width=16).eval()
    x = torch.rand(N, 1, 32, 32)
    with torch.no_grad():
        features = x
        for position, block in enumerate(discriminator.blocks):
            features = block(features)
            if position == discriminator.attention_after:
                features = discriminator.attention(features)
        h = features.relu().sum((2, 3))
        logits = [discriminator(x, Condition(label=torch.full((N,), k))) for k in (2, 5)]
        weight = discriminator.embedding.weight
        torch.testing.assert_close(logits[0] - logits[1], h @ (weight[2] - weight[5]))


def test_each_level_with_and_without_a_crop_has_running_statistics_of_its_own():
    network = generator()
    names = list(network.stages)
    keep = torch.ones(N, 1, 32, 32)
    keep[:, :, 12:20, 12:20] = 0
    found = {}
    for level in names:
        found[level, False] = network.statistics_of(told(network, level), latents(network))
        found[level, True] = network.statistics_of(
            told(network, level, keep=keep), latents(network)
        )
    for (level, cropped), group in found.items():
        finer_are_on = cropped and names.index(level) > 0
        assert group.tolist() == [2 * names.index(level) + finer_are_on] * N
    nothing = network.statistics_of(None, latents(network))
    assert nothing.tolist() == [2 * names.index("fc8")] * N
    before = network.norm.running_mean.clone()
    network(latents(network), told(network, "pool3"))
    changed = (network.norm.running_mean != before).any(1).nonzero().flatten().tolist()
    assert changed == [2 * names.index("pool3")]


def test_a_sample_told_by_masks_of_a_mixed_batch_is_the_one_told_alone():
    network = generator()
    for level in network.stages:
        for _ in range(5):
            network(latents(network, 16), told(network, level, n=16))
    network.eval()
    names = list(network.stages)
    features, z = features_for(network, len(names)), latents(network, len(names))
    masks = {n: torch.zeros(len(names), 1, *s[1:]) for n, s in network.stages.items()}
    for row, name in enumerate(names):
        masks[name][row] = 1
    with torch.no_grad():
        mixed = network(z, Condition(None, features, masks))
        for row, name in enumerate(names):
            one = {n: f[row : row + 1] for n, f in features.items()}
            alone = network(
                z[row : row + 1], Condition(None, one, level_masks(network.stages, name, 1))
            )
            torch.testing.assert_close(mixed[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_truncation_keeps_latents_within_the_threshold():
    network = generator()
    z = network.sample_latents(2000, torch.Generator().manual_seed(0))
    cut = network.truncated(z, 0.8)
    assert cut.abs().max() <= 0.8
    assert torch.equal(cut.sign(), z.sign())
    torch.testing.assert_close(network.truncated(z, 30.0), z, atol=1e-5, rtol=1e-5)


def test_a_gap_between_stages_is_filled_by_blocks_without_one():
    shapes = stage_shapes({"a": [3, 4], "b": [5, 16], "c": [7]}, 64)
    assert shapes == {"a": (3, 16, 16), "b": (5, 4, 4), "c": (7,)}
    assert mirror_sizes(shapes, 64) == [
        ("c", 0),
        ("b", 4),
        (None, 8),
        ("a", 16),
        (None, 32),
        (None, 64),
    ]
    assert mirror_sizes({}, 32) == [(None, 4), (None, 8), (None, 16), (None, 32)]
    assert mirror_sizes({"c": (7,)}, 16) == [("c", 0), (None, 4), (None, 8), (None, 16)]
    network = generator(stages={"a": [3, 4], "c": [7]})
    assert network(latents(network)).shape == (N, 1, 32, 32)


@pytest.mark.parametrize(
    ("resolution", "stages", "size"),
    [
        (32, FASHION, 16),
        (64, FASHION, 32),
        (224, VGG, 28),
        (256, VGG, 32),
        (128, {"a": [1, 2]}, 64),
    ],
)
def test_attention_follows_the_largest_map_up_to_32_px_or_the_smallest_there_is(
    resolution, stages, size
):
    network = generator(resolution=resolution, stages=stages, width=1)
    assert network.path[network.attention_after][1] == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stages": {"a": [3, 5]}},
            r"model\.generator\.stages\.a must be .*divide the resolution 32",
        ),
        ({"stages": {"a": [3, 2, 2]}}, r"model\.generator\.stages\.a"),
        ({"stages": {"a": [0]}}, r"model\.generator\.stages\.a"),
        ({"stages": {"a": [3, 8], "b": [3, 4]}}, "must run from fine to coarse"),
        ({"stages": {"a": [3], "b": [3, 4]}}, "must run from fine to coarse"),
        ({"attention_size": 7}, r"model\.generator\.attention_size=7 must be one of"),
    ],
)
def test_what_cannot_be_mirrored_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generator(**options)


def test_features_that_do_not_fit_are_refused():
    network = generator()
    masks = level_masks(network.stages, "pool2", N)
    for features in ({}, {"pool2": torch.zeros(N, 3, 8, 8)}, None):
        with pytest.raises(ValueError, match=r"told pool2 of shape .*set model\.generator\.stages"):
            network(latents(network), Condition(None, features, masks))
    with pytest.raises(ValueError, match="told pool9"):
        network(latents(network), Condition(None, {}, {"pool9": masks["pool2"]}))
