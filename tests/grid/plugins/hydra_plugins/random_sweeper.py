"""A sweeper for `hydra.sweeper._target_=` that draws anew in every process."""

import random

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class RandomSweeper(Sweeper):
    """Draws learning rates from the system's entropy; two processes never agree."""

    def __init__(self, max_batch_size=None, params=None, trials=2):
        self.params, self.trials = params or {}, trials

    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        fixed = [word for word in arguments if not word.startswith("model.generator_optimizer.lr=")]
        draws = [random.SystemRandom().uniform(1e-4, 1e-3) for _ in range(self.trials)]
        jobs = [[*fixed, f"model.generator_optimizer.lr={lr}"] for lr in draws]
        return [job.return_value for job in self.launcher.launch(jobs, initial_job_idx=0)]
