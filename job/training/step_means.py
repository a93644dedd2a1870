"""What training did over several steps, as one number each: single batches say little."""

from job.training.step import StepResult

_MEASURES = ("loss", "top1", "top5", "gradient_norm")


class StepMeans:
    """Averages the steps since it was last asked; those whose gradient overflowed do not count."""

    def __init__(self) -> None:
        self._begin()

    def add(self, result: StepResult) -> None:
        """Count a step in."""
        if result.finite:
            self._steps += 1
            for name in _MEASURES:
                self._sums[name] += getattr(result, name)

    def take(self) -> dict[str, float]:
        """Give the means by name and begin anew; NaN where no step counted."""
        steps = self._steps or float("nan")
        means = {name: total / steps for name, total in self._sums.items()}
        self._begin()
        return means

    def _begin(self) -> None:
        self._steps = 0
        self._sums = dict.fromkeys(_MEASURES, 0.0)
