"""Which trials a sweep has: every combination of the values given, or some drawn at random. Pure.

`--learning_rate=0.001,0.003` has two values; `--learning_rate=0.001..0.1` is a range from which
values are drawn, `log:0.001..0.1` evenly over orders of magnitude (Bergstra and Bengio 2012 on why
drawing beats a grid when few settings matter).
"""

import dataclasses
import hashlib
import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from job.contract.configs import TrainConfig
from job.contract.options import value_types
from launcher.errors import UsageError

FORMAT = 1
MOST_TRIALS = 1000
_TEXTS = ("then", "data", "run", "init_checkpoint", "cache_dir", "config")
"""Flags in whose values commas are no lists."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep."""

    name: str
    """Its number, as 007: also the name of its directory."""
    settings: Mapping[str, str]
    """What is its own, as it is typed."""

    def flags(self) -> list[str]:
        """Give its own flags of the trainer."""
        return [f"--{name}={value}" for name, value in self.settings.items()]

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.settings.items())


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Content of sweep.json: the trials, and which of them were stopped early and why."""

    name: str
    trials: tuple[Trial, ...]
    flags: tuple[str, ...] = ()
    """Those of the trainer that all trials share."""
    stopped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    format: int = FORMAT


def make(job_flags: Sequence[str], *, name: str, samples: int | None, seed: int) -> Sweep:
    """Plan a sweep from flags of the trainer, some of which have several values.

    Args:
        job_flags: As typed after `--`.
        name: Of the sweep; empty makes one from the flags, so that the same command is the same.
        samples: How many combinations to draw; None takes all of them.
        seed: Of what is drawn.

    Raises:
        UsageError: Nothing varies, a range without `samples`, or too many trials.
    """
    varied: dict[str, str] = {}
    shared: list[str] = []
    for flag in job_flags:
        key, separator, text = flag.lstrip("-").partition("=")
        if separator and key not in _TEXTS and ("," in text or _is_range(text)):
            varied[key] = text
        else:
            shared.append(flag)
    if not varied:
        raise UsageError(
            "nothing varies: give a flag of the trainer several values, as -- "
            "--learning_rate=0.001,0.003,0.01"
        )
    combinations = _drawn(varied, samples, seed) if samples else _all(varied)
    if len(combinations) > MOST_TRIALS:
        raise UsageError(f"{len(combinations):,} trials are more than {MOST_TRIALS:,}; --samples N")
    width = max(3, len(str(len(combinations))))
    trials = tuple(
        Trial(name=f"{number:0{width}d}", settings=settings)
        for number, settings in enumerate(combinations, start=1)
    )
    return Sweep(name=name or _name(job_flags, samples, seed), trials=trials, flags=tuple(shared))


def _name(job_flags: Sequence[str], samples: int | None, seed: int) -> str:
    text = json.dumps([sorted(job_flags), samples, seed])
    return f"sweep-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def _is_range(text: str) -> bool:
    return ".." in text


def _all(varied: Mapping[str, str]) -> list[dict[str, str]]:
    for name, text in varied.items():
        if _is_range(text):
            raise UsageError(f"--{name}={text} is a range, from which --samples N values are drawn")
    values = [[value.strip() for value in text.split(",")] for text in varied.values()]
    return [dict(zip(varied, each, strict=True)) for each in itertools.product(*values)]


def _drawn(varied: Mapping[str, str], samples: int, seed: int) -> list[dict[str, str]]:
    """Draw combinations, none of them twice as far as there are others."""
    source = random.Random(seed)  # noqa: S311 (no secret)
    found: list[dict[str, str]] = []
    for _ in range(samples * 20):
        drawn = {name: _draw(name, text, source) for name, text in varied.items()}
        if drawn not in found:
            found.append(drawn)
        if len(found) == samples:
            break
    return found


def _draw(name: str, text: str, source: random.Random) -> str:
    if not _is_range(text):
        return source.choice([value.strip() for value in text.split(",")])
    low, high = _ends(name, text)
    if text.startswith("log:"):
        value = math.exp(source.uniform(math.log(low), math.log(high)))
    else:
        value = source.uniform(low, high)
    if value_types(TrainConfig).get(name) is int:
        return str(round(value))
    return f"{value:.4g}"


def _ends(name: str, text: str) -> tuple[float, float]:
    first, _, last = text.removeprefix("log:").partition("..")
    try:
        low, high = float(first), float(last)
    except ValueError as error:
        raise UsageError(f"--{name}={text}: a range is LOW..HIGH, or log:LOW..HIGH") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--{name}={text}: {first} must be below {last}")
    if text.startswith("log:") and low <= 0:
        raise UsageError(f"--{name}={text}: the ends of a log range must be above 0")
    return low, high
