"""Every study that there is answers on a tiny checkpoint of a model that it is for.

The words that make it tiny are those with which `scripts/compare_checkouts.py` compares it.
"""

import importlib.util
import json
from pathlib import Path

import pytest
from composing import composed
from omegaconf import OmegaConf
from PIL import Image

from ganlab import studies
from ganlab.cli import conf_dir
from ganlab.run import evaluate, train
from ganlab.studies import Question

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("compared", ROOT / "scripts/compare_checkouts.py")
compared = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(compared)

NAMES = sorted(path.stem for path in (conf_dir() / "study").glob("[!_]*.yaml"))
TRAINING = (
    "data=synthetic data.channels=1 data.num=60 data.batch_size=16 kimg=0.016 "
    "sample_every_kimg=0.016 callbacks.progress=null callbacks.health=null scores=null"
)

pytestmark = pytest.mark.usefixtures("own_cache")


def lines_of(name):
    """Models and words that ask the study of little, the smallest model first."""
    lines = [line.split() for line in compared.STUDIES.values()]
    fitting = [line for line in lines if f"study={name}" in line and "trainer=ddp" not in line]
    return sorted(fitting, key=lambda line: list(compared.MODELS).index(line[0]))


def case(name):
    """A study of one model is tried at once; those that need another one trained take longer."""
    longer = [pytest.mark.slow] if lines_of(name) and lines_of(name)[0][0] != "dcgan" else []
    return pytest.param(name, marks=longer)


def tiny_words(name):
    """Model and words that ask the study of little."""
    if not (lines := lines_of(name)):
        pytest.fail(
            f"study={name} says nowhere how little it may be asked: add a line to STUDIES of "
            "scripts/compare_checkouts.py, with the model that it looks at"
        )
    return lines[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the words find `inputs` and the `runs` that they name."""
    folder = tmp_path_factory.mktemp("place")
    compared.make_inputs(folder / "inputs")
    return folder


def trained(place, model):
    """The run of a model, trained when it is first asked for."""
    run = place / "runs" / model
    if not run.is_dir():
        size = 16 if "style" in model else 32  # the smallest that there is
        words = [f"model={model}", f"data.resolution={size}", *TRAINING.split()]
        words += compared.MODELS[model].split()
        assert train(composed("train", words, run))["status"] == "done"
        last = run / "checkpoints" / "last.ckpt"
        (run / "checkpoints" / "best.ckpt").write_bytes(last.read_bytes())
    return run / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("name", [case(name) for name in NAMES])
def test_a_study_answers(name, place, monkeypatch):
    model, *words = tiny_words(name)
    monkeypatch.chdir(place)
    ckpt, out = trained(place, model), place / "study" / name
    result = evaluate(composed("evaluate", [f"ckpt={ckpt}", *words], out))
    assert result["status"] == "done"
    recorded = json.loads((out / "result.json").read_text())
    assert recorded["scores"] == result["scores"]
    assert (out / "report.html").is_file()
    pictures = list((out / "figures").glob("*.png")) if (out / "figures").is_dir() else []
    found = [*pictures, *out.glob("table.csv"), *out.glob("*.html")]
    assert len(found) > 1, "it leaves no table and no figure"
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
            assert picture.text.get("Description"), f"{path.name} has no caption"


def test_every_question_has_a_config():
    shown = {OmegaConf.load(conf_dir() / "study" / f"{name}.yaml")["_target_"] for name in NAMES}
    public = {name: getattr(studies, name) for name in studies.__all__}
    questions = {
        n for n, each in public.items() if isinstance(each, type) and issubclass(each, Question)
    }
    missing = {n for n in questions - {"Question"} if f"ganlab.studies.{n}" not in shown}
    assert not missing, f"conf/study has no file for {', '.join(sorted(missing))}"


def test_a_study_without_words_of_its_own_is_told_where_they_go(monkeypatch):
    monkeypatch.setattr(compared, "STUDIES", {})
    with pytest.raises(pytest.fail.Exception, match="study=scores says nowhere how little"):
        tiny_words("scores")
