"""The median rule: end a trial that is worse than half of the others were by then. Pure.

A trial is stopped if its best value so far is below the median of the other trials' running
averages up to the same step (Golovin and others 2017, "Google Vizier", section 3.2.2).
"""

import statistics
from collections.abc import Mapping, Sequence

Curve = Sequence[tuple[int, float]]
"""(step, value) of each evaluation, by rising step; larger values are better."""

LEAST_OTHERS = 3
LEAST_EVALUATIONS = 2


def reason_to_stop(trial: str, curves: Mapping[str, Curve]) -> str:
    """Say why a trial should be stopped, or nothing."""
    own = curves.get(trial, ())
    if len(own) < LEAST_EVALUATIONS:
        return ""
    step = own[-1][0]
    best = max(value for _, value in own)
    averages = [
        statistics.fmean(value for at, value in curve if at <= step)
        for name, curve in curves.items()
        if name != trial and curve and curve[-1][0] >= step and curve[0][0] <= step
    ]
    if len(averages) < LEAST_OTHERS:
        return ""
    median = statistics.median(averages)
    if best >= median:
        return ""
    return (
        f"top-1 {best:.2%} up to step {step:,}, below the median {median:.2%} of "
        f"{len(averages)} others"
    )
