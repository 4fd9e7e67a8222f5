"""What is asked of a trained generator, at test time, over pure functions.

`Study` is the callback. It builds a `Bench` and hands it to a `Question`, a frozen dataclass of
options whose `run(bench)` returns `Findings`; one writer puts these into the run's directory.

| study | question | pure functions |
|---|---|---|
| `scores` | `Scores`, a callback in training too | `sampling.Sampler` |
| `averages` | `Averages` | `averages.rebuilt`, `systems.power_averages.combination` |
| `samples` | `Samples` | `sampling.Sampler`, `latents.latent_set.latent_set` |
| `interpolation` | `Interpolation` | `nn.paths.walk_path`, `nn.paths.smoothness` |
| `arithmetic` | `Arithmetic` | `latents.arithmetic.displacement` |
| `style_mixing` | `StyleMixing` | `latents.style_mixing.mixed_row`; `nn.style.mix` |
| `directions` | `Directions` | `latents.components.find_components`, `latents.components.moved` |
| `truncation` | `Truncation` | `latents.truncation.trade` |
| `projection` | `Projection` | `latents.projector.Projector` |
| `timeline` | `Timeline` | `latents.timeline.generators_at`, `report.timeline.strip` |
| `activation_rates` | `ActivationRates` | `neurons.rates.activation_rates` |
| `artifact_detection` | `ArtifactDetection` | `neurons.detection` |
| `circular_artifacts` | `CircularArtifacts` | `circles.observation`, `metrics.spikes` |
| `guided_backprop` | `GuidedBackprop` | `images.guided_gradients` |
| `inception_select` | `InceptionSelect` | `metrics.inception_score.image_scores` |
| `spectrum` | `Spectrum` | `images.spectrum.power` |
| `nearest_neighbours` | `NearestNeighbours` | `metrics.copies` |
| `pyramid_levels` | `PyramidLevels` | `pyramid.levels.Diversity` |
| `repaint` | `Repaint` | `data.image_input`, `metrics.edits` |
| `compose` | `Compose` | `pyramid.edits.paste_object`, `pyramid.edits.composition` |
| `relabel` | `Relabel` | `pyramid.edits.guesses`, `pyramid.edits.feature_change` |
| `unnatural` | `Unnatural` | `data.image_input.read_images` |
| `path_length` | `PathLength` | `metrics.path_length` |
| `real_or_fake` | `RealOrFake` | `human_eval.trials`; `human_eval.judgements` reads results |
| `sequential_ablation` | `SequentialAblation` | `neurons.ablation`, `metrics.repair` |
| `unit_ablation` | `UnitAblation` | `metrics.units`, `nn.ablation` |
| `neuron_figures` | `NeuronFigures` | `neurons.neuron_maps`; `neurons.figures` draws |

A new study is a `Question` and one file in `conf/study`. What every study stands on (`question`,
`bench`, `ranks`, `findings`) is here, each family in a package of its own.
"""

from ganlab.metrics.path_length import perceptual_path_lengths
from ganlab.nn.paths import smoothness, walk_path
from ganlab.studies.averages import Averages
from ganlab.studies.bench import Bench
from ganlab.studies.circles.circular_artifacts import CircularArtifacts
from ganlab.studies.circles.incidence import CircleIncidence
from ganlab.studies.findings import Findings
from ganlab.studies.human_eval.real_or_fake import RealOrFake
from ganlab.studies.images.guided_backprop import GuidedBackprop
from ganlab.studies.images.inception_select import InceptionSelect
from ganlab.studies.images.nearest_neighbours import NearestNeighbours
from ganlab.studies.images.spectrum import Spectrum
from ganlab.studies.latents.arithmetic import Arithmetic
from ganlab.studies.latents.directions import Directions
from ganlab.studies.latents.interpolation import Interpolation
from ganlab.studies.latents.path_length import PathLength
from ganlab.studies.latents.projection import Projection
from ganlab.studies.latents.samples import Samples
from ganlab.studies.latents.style_mixing import StyleMixing
from ganlab.studies.latents.timeline import Timeline
from ganlab.studies.latents.truncation import Truncation
from ganlab.studies.neurons.activation_rates import ActivationRates
from ganlab.studies.neurons.artifact_detection import ArtifactDetection
from ganlab.studies.neurons.detection import Ranking, read_ranking
from ganlab.studies.neurons.neuron_figures import NeuronFigures
from ganlab.studies.neurons.rates import Rates
from ganlab.studies.neurons.sequential_ablation import SequentialAblation
from ganlab.studies.neurons.unit_ablation import UnitAblation
from ganlab.studies.pyramid.levels import PyramidLevels
from ganlab.studies.pyramid.regional import Compose, Repaint
from ganlab.studies.pyramid.relabel import Relabel
from ganlab.studies.pyramid.unnatural import Unnatural
from ganlab.studies.question import Question
from ganlab.studies.scores import Scores
from ganlab.studies.study import Study

__all__ = [
    "ActivationRates",
    "Arithmetic",
    "ArtifactDetection",
    "Averages",
    "Bench",
    "CircleIncidence",
    "CircularArtifacts",
    "Compose",
    "Directions",
    "Findings",
    "GuidedBackprop",
    "InceptionSelect",
    "Interpolation",
    "NearestNeighbours",
    "NeuronFigures",
    "PathLength",
    "Projection",
    "PyramidLevels",
    "Question",
    "Ranking",
    "Rates",
    "RealOrFake",
    "Relabel",
    "Repaint",
    "Samples",
    "Scores",
    "SequentialAblation",
    "Spectrum",
    "Study",
    "StyleMixing",
    "Timeline",
    "Truncation",
    "UnitAblation",
    "Unnatural",
    "perceptual_path_lengths",
    "read_ranking",
    "smoothness",
    "walk_path",
]
