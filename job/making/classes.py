"""The classes of a source: their order, and names that cannot stand beside each other."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal

from job.contract.errors import DataError
from job.contract.wording import shown_name

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")


def class_order(names: Iterable[str]) -> list[str]:
    """Put classes into label order: numbers by value if all are numbers, else by their text."""
    listed = sorted(names)
    if all(map(_NUMBER.fullmatch, listed)):
        listed.sort(key=Decimal)
    return listed


def check_classes(classes: Sequence[str], where: str) -> None:
    """Refuse classes that no classifier can tell apart.

    Raises:
        DataError: There is one alone, or two names are the same letters in two Unicode forms.
    """
    forms: dict[str, str] = {}
    for name in classes:
        other = forms.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise DataError(
                f"{where}: class {shown_name(name)} is there twice, in two Unicode forms "
                f"({other!a} and {name!a}); rename one"
            )
    if len(classes) == 1:
        hint = (
            "; object detection keeps its images so, with boxes instead of classes"
            if classes[0] == "images"
            else ""
        )
        raise DataError(
            f"{where}: {shown_name(classes[0])} is the only class, and a classifier needs two; "
            f"give the folder that holds a folder for each class{hint}"
        )
