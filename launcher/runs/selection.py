"""Which runs, and in which order: `--where learning_rate>0.001`, `--sort-by top1`. Pure."""

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from job.contract.options import did_you_mean
from launcher.errors import UsageError
from launcher.runs.record import FACTS, RunRecord

_TERM = re.compile(r"\s*([A-Za-z_]\w*)\s*(!=|>=|<=|==|=|>|<|~)\s*(.*?)\s*", re.DOTALL)
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One condition: a name, how to compare, and with what."""

    name: str
    comparison: str
    text: str

    def holds(self, record: RunRecord) -> bool:
        """Whether a run fulfils it; a value that is not known fulfils only `!=`."""
        value = record.value(self.name)
        if self.comparison == "~":
            return fnmatch.fnmatchcase(_text(value), self.text)
        number = _number(self.text)
        if isinstance(value, int | float) and not isinstance(value, bool) and number is not None:
            return _COMPARED[self.comparison](value, number)
        if isinstance(value, str) or self.comparison in ("=", "==", "!="):
            return _COMPARED[self.comparison](_text(value).lower(), self.text.lower())
        return False


def parse(where: Sequence[str], known: Iterable[str]) -> list[Term]:
    """Read conditions; all of them must hold.

    Raises:
        UsageError: One is no condition, or about a name that is not `known`.
    """
    terms = []
    for text in where:
        match = _TERM.fullmatch(text)
        if not match:
            raise UsageError(
                f"--where {text!r} must be NAME, one of = != > >= < <= ~, and a value, as "
                "'learning_rate>0.001' (in quotes, or the shell takes > for its own)"
            )
        check_name(match[1], known, f"--where {text!r}")
        terms.append(Term(match[1], match[2], match[3]))
    return terms


def select(records: Iterable[RunRecord], terms: Sequence[Term]) -> list[RunRecord]:
    """Give the runs that fulfil all conditions."""
    return [record for record in records if all(term.holds(record) for term in terms)]


def ordered(
    records: Iterable[RunRecord], name: str, known: Iterable[str], *, reverse: bool = False
) -> list[RunRecord]:
    """Sort by a name, the largest number or the first word first; runs without a value come last.

    Raises:
        UsageError: The name is not `known`.
    """
    check_name(name, known, f"--sort-by {name}")
    records = list(records)
    with_value = [record for record in records if record.value(name) not in (None, "")]
    rest = [record for record in records if record.value(name) in (None, "")]
    numbers = all(isinstance(record.value(name), int | float) for record in with_value)

    def key(record: RunRecord) -> Any:
        return record.value(name) if numbers else _text(record.value(name))

    return sorted(with_value, key=key, reverse=numbers != reverse) + rest


def check_name(name: str, known: Iterable[str], where: str) -> None:
    """Check that a name is one of a run's facts, or `known`; UsageError if not."""
    names = [*FACTS, *known]
    if name not in names:
        raise UsageError(f"{where}: runs have no {name!r}" + (did_you_mean(name, names) or ""))


def _number(text: str) -> float | None:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None


def _text(value: object) -> str:
    return "" if value is None else str(value)
