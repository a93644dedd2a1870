"""Named tensors of a file of weights, whatever wrote it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Tensor = NDArray[Any]


@dataclass(frozen=True)
class Weights:
    """What a file holds; nothing is read before it is asked for.

    Attributes:
        shapes: The shape of each tensor, by its name in the file.
        read: Gives a tensor by that name.
        kind: What the file is, for a message; empty for what needs no word.
        also: Names in the file that no tensor here is made of.
    """

    shapes: Mapping[str, Shape]
    read: Callable[[str], Tensor]
    kind: str = ""
    also: tuple[str, ...] = field(default=())


def transposed(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Reorder axes, and memory with them: what follows reads row by row."""
    return np.ascontiguousarray(np.transpose(tensor, axes))
