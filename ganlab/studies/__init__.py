"""What is asked of a trained generator: callbacks at test time over pure functions.

| study | callback | pure functions |
|---|---|---|
| `scores` | `Scores` (in training too) | `sampling.generate`, `sampling.images_at` |
| `samples` | `Samples` | `latent_images.Painter`, `chosen_latents.chosen` |
| `interpolation` | `Interpolation` | `latent_paths.walked`, `latent_paths.smoothness` |
| `arithmetic` | `Arithmetic` | `latent_arithmetic.displaced`, `latent_arithmetic.displacement` |
| `style_mixing` | `StyleMixing` | `style_mixing.mixed_row`; `nn.style.mix` |
| `truncation` | `Truncation` | `sampling.generate`, `truncation.trade` |
| `timeline` | `Timeline` | `timeline.generators_at`, `report.timeline.strip` |
| `activation_rates` | `ActivationRates` | `rates.activation_rates` |
| `artifact_detection` | `ArtifactDetection` | `detection.activated_neurons`, `detection.Ranking` |
| `circular_artifacts` | `CircularArtifacts` | `circles`, `spikes`, `circle_depth` |
| `guided_backprop` | `GuidedBackprop` | `guided_gradients` |
| `inception_select` | `InceptionSelect` | `image_scores` |
| `nearest_neighbours` | `NearestNeighbours` | `copies` |
| `pyramid_levels` | `PyramidLevels` | `pyramid_edits.samples`, `levels_report.Diversity` |
| `repaint` | `Repaint` | `image_input`, `pyramid_edits.samples`, `pyramid_measures` |
| `compose` | `Compose` | `pyramid_edits.pasted`, `pyramid_edits.composed` |
| `relabel` | `Relabel` | `pyramid_measures.guesses`, `pyramid_measures.kept` |
| `unnatural` | `Unnatural` | `image_input.read_images` |
| `path_length` | `PathLength` | `path_length.perceptual_path_lengths` |
| `real_or_fake` | `RealOrFake` | `trials`, `image_pairs`; `judgements` reads results |
| `sequential_ablation` | `SequentialAblation` | `ablation`, `ablation_edits`, `repair` |
| `unit_ablation` | `UnitAblation` | `units` |
| `neuron_figures` | `NeuronFigures` | `neuron_maps`; `map_figures`, `ablation_figures` draw |

A new study is a subclass of `Study` with `investigate`, and one file in `conf/study`.
"""

from ganlab.studies.activation_rates import ActivationRates, NeuronStudy
from ganlab.studies.arithmetic import Arithmetic
from ganlab.studies.artifact_detection import ArtifactDetection
from ganlab.studies.circle_incidence import CircleIncidence
from ganlab.studies.circular_artifacts import CircularArtifacts
from ganlab.studies.compose import Compose
from ganlab.studies.detection import Ranking, read_ranking
from ganlab.studies.guided_backprop import GuidedBackprop
from ganlab.studies.inception_select import InceptionSelect
from ganlab.studies.interpolation import Interpolation
from ganlab.studies.latent_images import Painter
from ganlab.studies.latent_paths import smoothness, walked
from ganlab.studies.nearest_neighbours import NearestNeighbours
from ganlab.studies.neuron_figures import NeuronFigures
from ganlab.studies.path_length import perceptual_path_lengths
from ganlab.studies.path_lengths import PathLength
from ganlab.studies.pyramid_levels import PyramidLevels
from ganlab.studies.rates import Rates
from ganlab.studies.real_or_fake import RealOrFake
from ganlab.studies.relabel import Relabel
from ganlab.studies.repaint import Repaint
from ganlab.studies.samples import Samples
from ganlab.studies.sampling import generate, images_at
from ganlab.studies.scores import Scores, Study
from ganlab.studies.sequential_ablation import SequentialAblation
from ganlab.studies.style_mixing import StyleMixing
from ganlab.studies.timeline import Timeline
from ganlab.studies.truncation import Truncation
from ganlab.studies.unit_ablation import UnitAblation
from ganlab.studies.unnatural import Unnatural

__all__ = [
    "ActivationRates",
    "Arithmetic",
    "ArtifactDetection",
    "CircleIncidence",
    "CircularArtifacts",
    "Compose",
    "GuidedBackprop",
    "InceptionSelect",
    "Interpolation",
    "NearestNeighbours",
    "NeuronFigures",
    "NeuronStudy",
    "Painter",
    "PathLength",
    "PyramidLevels",
    "Ranking",
    "Rates",
    "RealOrFake",
    "Relabel",
    "Repaint",
    "Samples",
    "Scores",
    "SequentialAblation",
    "Study",
    "StyleMixing",
    "Timeline",
    "Truncation",
    "UnitAblation",
    "Unnatural",
    "generate",
    "images_at",
    "perceptual_path_lengths",
    "read_ranking",
    "smoothness",
    "walked",
]
