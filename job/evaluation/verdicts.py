"""The report's words: shares, a verdict on accuracy, a verdict on confidence."""

from collections.abc import Sequence

from job.evaluation.metrics import Quality, Share


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share for people. What is not quite all or nothing never reads 100 % or 0 %."""
    if value is None:
        return "-"
    shown = round(value * 100, digits)
    step = 10.0**-digits
    if shown >= 100 and value < 1:
        return f"> {100 - step:.{digits}f} %"
    if shown <= 0 and value > 0:
        return f"< {step:.{digits}f} %"
    return f"{shown:.{digits}f} %" if 0 < shown < 100 else f"{shown:.0f} %"


def summary(quality: Quality, names: Sequence[str]) -> str:
    """Say in two sentences how good the model is and where it is weakest."""
    top1 = quality.top1
    if top1.hits == top1.examples:
        lower = percent(top1.interval[0])
        return (
            f"The model names the right class of all {top1.examples:,} images. "
            f"With so many, its true accuracy is at least {lower} with 95 % confidence."
        )
    first = (
        f"The model names the right class of {top1.hits:,} of {top1.examples:,} images, "
        f"and has it among its five likeliest for {quality.top5.hits:,}."
    )
    known = [entry for entry in quality.classes if entry.recall.value is not None]
    ordered = sorted(known, key=lambda entry: (entry.recall.value or 0.0, entry.index))
    worst, best = ordered[0], ordered[-1]
    return (
        f"{first} It knows {names[best.index]} best ({_of(best.recall)}) and "
        f"{names[worst.index]} least ({_of(worst.recall)})."
    )


def calibration(quality: Quality) -> str:
    """Say in a sentence whether the model's probabilities can be believed."""
    gap = (quality.mean_confidence or 0.0) - (quality.top1.value or 0.0)
    believed = (
        f"On average it gives its answer {percent(quality.mean_confidence)} and is right "
        f"{percent(quality.top1.value)} of the time"
    )
    if abs(gap) < 0.02:
        return f"{believed}: its confidence can be taken at its word on average."
    points = f"{abs(gap) * 100:.1f} points"
    if gap > 0:
        return f"{believed}: it is overconfident by {points}."
    return f"{believed}: it is underconfident by {points}."


def _of(share: Share) -> str:
    return f"{share.hits} of {share.examples}"


def plain_name(name: str) -> str:
    """Write a class's name for people: `apple_pie` is `apple pie`."""
    return name.replace("_", " ")
