"""The content of evaluations/step-….json: the numbers of one evaluation during training.

One small file each, written once: curves without TensorBoard's event files, for comparing runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from job.contract.schema import Count

FORMAT = 1
MAX_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class EvaluationNote:
    """Numbers of the test split.

    Attributes:
        step: After which step.
        metrics: As top1, from 0 to 1; None where a number was not finite.
        time: When it was written, in seconds since 1970.
        format: Of this file.
    """

    step: Count
    metrics: Mapping[str, float | None]
    time: float
    format: int = FORMAT
