"""The content of evaluations/step-….json: the numbers of one evaluation during training.

One small file each: curves without TensorBoard's event files, for comparing runs. An evaluation
that is made again gives the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from job.contract.schema import Count, Word

FORMAT = 1
MAX_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class EvaluationNote:
    """Numbers of the test split.

    Attributes:
        step: After which step.
        metrics: As top1, from 0 to 1; None where a number was not finite.
        examples: How many images were counted.
        precision: Arithmetic of the network.
        format: Of this file.
    """

    step: Count
    metrics: Mapping[str, float | None]
    examples: Count = 0
    precision: Word = ""
    format: int = FORMAT
