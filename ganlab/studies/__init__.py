"""What is asked of a trained generator: callbacks at test time over pure functions.

| study | callback | pure functions |
|---|---|---|
| `scores` | `Scores` (in training too) | `sampling.generate`, `sampling.images_at` |
| `samples` | `Samples` | the same |
| `activation_rates` | `ActivationRates` | `rates.activation_rates` |
| `sequential_ablation` | `SequentialAblation` | `ablation`, `ablation_grid.ablation_edits` |

A new study is a subclass of `Study` with `investigate`, and one file in `conf/study`.
"""

from ganlab.studies.activation_rates import ActivationRates, NeuronStudy
from ganlab.studies.rates import Rates
from ganlab.studies.samples import Samples
from ganlab.studies.sampling import generate, images_at
from ganlab.studies.scores import Scores, Study
from ganlab.studies.sequential_ablation import SequentialAblation

__all__ = [
    "ActivationRates",
    "NeuronStudy",
    "Rates",
    "Samples",
    "Scores",
    "SequentialAblation",
    "Study",
    "generate",
    "images_at",
]
