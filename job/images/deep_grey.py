"""Grey images of more than 8 bits, which Pillow would clip instead of scale."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


@dataclass(frozen=True, slots=True)
class GreyRange:
    """How a grey image's numbers mean black and white.

    Attributes:
        bits: White is 2^bits - 1.
        inverted: Whether white is 0 instead.
        transparent: The number that stands for nothing, which lies on white; None if none does.
    """

    bits: int
    inverted: bool = False
    transparent: int | None = None

    def to_8_bits(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale numbers [height, width] to 0..255."""
        highest = (1 << self.bits) - 1
        grey = values.astype(np.int64).clip(0, highest)
        scaled = (grey >> (self.bits - 8)).astype(np.uint8)
        if self.inverted:
            scaled = 255 - scaled
        if self.transparent is not None:
            scaled[grey == self.transparent] = 255
        return scaled


def grey_range(image: Image.Image) -> GreyRange | None:
    """Find the range of an open image; None if it is no deep grey one, or has no fixed range."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:
        bits = tags.get(_BITS_PER_SAMPLE, (1,))[0]
        if not image.mode.startswith("I;16") or not 8 < bits <= 16:
            return None
        return GreyRange(bits, inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    if image.format != "PNG" or not image.mode.startswith("I"):
        return None
    transparent = image.info.get("transparency")
    return GreyRange(16, transparent=transparent if isinstance(transparent, int) else None)
