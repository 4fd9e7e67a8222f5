import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import ganlab.data
from ganlab.data import ImageData

CONF = Path(__file__).parents[2] / "conf"
CONFIGS = sorted((CONF / "data").glob("[!_]*.yaml"))
BASE = CONF / "data" / "_images.yaml"
COMMON = set(inspect.signature(ImageData).parameters) - {"source"}


def node(config_path, **values):
    preset = OmegaConf.merge(OmegaConf.load(BASE), OmegaConf.load(config_path))
    config = OmegaConf.merge({"seed": 7, "data": preset}, {"data": values})
    config.data.pop("defaults")
    return OmegaConf.to_container(config, resolve=True)["data"]


def built(config_path, **values):
    """The preset as Hydra would build it."""
    options = node(config_path, **values)
    factory = getattr(ganlab.data, options.pop("_target_").removeprefix("ganlab.data."))
    return factory(**options)


def test_every_data_set_of_the_contract_is_there():
    names = "fashion_mnist mnist folder zip arrays synthetic cifar10 stl10 celeba celebahq ffhq"
    assert {path.stem for path in CONFIGS} >= {*names.split(), "lsun", "places365"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_preset_sets_every_common_option_and_builds(path):
    assert set(node(path)) >= COMMON
    data = built(path)
    assert (data.name, data.seed, data.flip) == (path.stem, 7, node(path)["flip"])
    assert data.resolution == node(path)["resolution"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_preset_opens_with_a_header_and_names_its_extractor(path):
    assert path.read_text().startswith("# ")
    base, own, override = OmegaConf.load(path).defaults
    assert (base, own) == ("_images", "_self_")
    (extractor,) = override.values()
    assert (CONF / "features" / f"{extractor}.yaml").is_file()
    own_classifier = path.stem in ("fashion_mnist", "mnist", "synthetic")  # grey ones, and shapes
    assert extractor == ("classifier" if own_classifier else "imagenet")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_preset_says_only_where_it_differs(path):
    base, own = OmegaConf.to_container(OmegaConf.load(BASE)), OmegaConf.load(path)
    own = OmegaConf.to_container(own)
    assert not [key for key, value in base.items() if key in own and own[key] == value]


def needs_files(path):
    """Whether a set is of a user's files: it has a `path`, and the package no images for it."""
    own = OmegaConf.load(path)
    return "path" in own and path.stem != "fashion_mnist"


@pytest.mark.parametrize("path", list(filter(needs_files, CONFIGS)), ids=lambda path: path.stem)
def test_missing_files_say_what_belongs_there(path):
    with pytest.raises(FileNotFoundError, match=r"data\.path is not set; it takes .{10}") as caught:
        built(path).prepare_data()
    header = path.read_text().partition("defaults:")[0]
    assert ("http" in str(caught.value)) == ("http" in header)  # where it is published, both say so


def test_misspelt_option_is_refused():
    with pytest.raises(TypeError, match="resolutoin"):
        ganlab.data.folder("x", resolutoin=32)


@pytest.mark.parametrize("name", ["celeba", "celebahq", "ffhq", "lsun"])
def test_folders_of_unlabelled_sets_are_no_classes(name, pets):
    data = built(Path(CONFIGS[0]).with_name(f"{name}.yaml"), path=str(pets), resolution=16)
    data.prepare_data()
    data.setup()
    assert (data.num_classes, data.dataset.labels) == (0, None)


def test_scene_folders_of_places365_are_classes(pets):
    data = built(Path(CONFIGS[0]).with_name("places365.yaml"), path=str(pets), resolution=16)
    data.prepare_data()
    data.setup()
    assert data.dataset.class_names == ["cat", "dog"]
