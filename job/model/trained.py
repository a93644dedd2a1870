"""A run's network with the weights of one of its checkpoints."""

from dataclasses import dataclass

import tensorflow as tf

from job.model.vgg19 import VGG19
from job.run import checkpoints
from job.run.checkpoints import CheckpointDir
from job.run.directory import Run


@dataclass(frozen=True)
class TrainedModel:
    """A network, the run that trained it and the checkpoint that its weights are from."""

    run: Run
    checkpoint: CheckpointDir
    network: VGG19

    def precision(self, asked_for: str, otherwise: str) -> str:
        """Name the arithmetic to compute in: for "auto" that in which the run was trained.

        Args:
            asked_for: "auto", or the name of one.
            otherwise: What to take where the run's is not known.
        """
        if asked_for != "auto":
            return asked_for
        return self.checkpoint.manifest.state.precision or otherwise


def load_trained_model(
    run: Run, which: str, strategy: tf.distribute.Strategy | None = None
) -> TrainedModel:
    """Build a run's network and load a checkpoint into it.

    Args:
        run: The run, as `run_directory.load_run` gives it.
        which: "best", "latest" or a step.
        strategy: Where the variables live; the default strategy if not given.

    Raises:
        InputMissingError: There is no such checkpoint.
        DataError: The checkpoint is damaged.
        ConfigError: `which` is none of the above, or the weights are of another network.
    """
    checkpoint = checkpoints.find_checkpoint(run.path, which)
    with (strategy or tf.distribute.get_strategy()).scope():
        network = VGG19(
            len(run.classes),
            head=run.config.head,
            width_multiplier=run.config.width_multiplier,
            seed=run.config.seed,
        )
    checkpoints.load_variables(checkpoint, network.variables_by_name)
    return TrainedModel(run, checkpoint, network)
