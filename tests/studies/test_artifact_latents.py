import numpy as np
import pytest
from study_toys import ConvGenerator, Data, System, trainer

from ganlab.metrics.activation_rate import low_rate
from ganlab.sampling import Sampler
from ganlab.studies import SequentialAblation, Study
from ganlab.studies.address import addresses
from ganlab.studies.neurons.detection import activated_neurons, read_ranking
from ganlab.studies.neurons.rate_count import rate_seed_of
from ganlab.studies.neurons.rates import activation_rates

SEED = 3


def run(question, generator):
    study = Study(question)
    trainer(study).test(System(generator), Data(), verbose=False)
    return study


def test_artifact_images_are_those_with_most_rare_neurons(tmp_path):
    generator = ConvGenerator()
    detection = {"num_samples": 23, "num_artifacts": 5, "detection_layers": [0, 2]}
    options = {"num_latents": 30, "seed": SEED, "rate": 0.3, "layers": [1], "batch_size": 7}
    run(SequentialAblation(**options, **detection, directory=tmp_path), generator)
    rates = activation_rates(Sampler(generator, rate_seed_of(SEED, None)), range(30), [0, 2])
    low = {name: low_rate(rate, 0.3) for name, rate in rates.items()}
    counts = activated_neurons(Sampler(generator, SEED), range(23), low).tolist()
    expected = sorted(range(23), key=lambda i: (-counts[i], i))
    with np.load(tmp_path / "figures" / "ablation.npz") as numbers:
        assert numbers["indices"].tolist() == expected[:5]
    assert read_ranking(tmp_path) == expected
    again = run(SequentialAblation(**options, latents=str(tmp_path), num_artifacts=4), generator)
    assert again.question.artifacts.given == expected[:4]
    other = SequentialAblation(**options, latents=str(tmp_path), num_artifacts=4)
    with pytest.raises(ValueError, match="ranks images of another generator"):
        run(other, ConvGenerator(seed=1))
    with pytest.raises(ValueError, match=f"add seed={SEED}"):
        SequentialAblation(seed=SEED + 1, latents=str(tmp_path), num_artifacts=4)


def test_addresses_are_a_list_a_range_or_a_file(tmp_path):
    assert addresses([5, 3]) == [5, 3]
    assert addresses(7) == [7]
    assert addresses("2:5") == [2, 3, 4]
    assert addresses("0:10:4") == [0, 4, 8]
    (tmp_path / "some.txt").write_text("4, 17\n3\n")
    assert addresses(str(tmp_path / "some.txt")) == [4, 17, 3]


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        ([], "needs latent indices from 0"),
        ([-1], "needs latent indices"),
        ([2, 2], "needs latent indices"),
        ("5:5", "5:5 is an empty range"),
        ("0:5:0", "is an empty range"),
        ("some.png", "no such file; give a list"),
    ],
)
def test_what_is_no_address_is_named(latents, message):
    with pytest.raises((ValueError, FileNotFoundError), match=f"study.latents.*{message}"):
        addresses(latents)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("one two")
    with pytest.raises(ValueError, match="is no file of latent indices"):
        addresses(str(tmp_path / "x.txt"))
    with pytest.raises(FileNotFoundError, match=r"study.latents=.*no such file"):
        SequentialAblation(latents=str(tmp_path))
    (tmp_path / "ranking.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no ranking of latents"):
        SequentialAblation(latents=str(tmp_path))
