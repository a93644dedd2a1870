"""Test-time augmentation: the views of an image over which predictions are averaged."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def _as_they_are(pixels: Pixels, _: int) -> Iterator[Pixels]:
    yield pixels


def _mirrored_too(pixels: Pixels, _: int) -> Iterator[Pixels]:
    yield pixels
    yield pixels[:, :, ::-1]


def _ten_crops(pixels: Pixels, side: int) -> Iterator[Pixels]:
    """Cut the corners and the middle out of larger squares, and mirror each (AlexNet, 2012)."""
    end = pixels.shape[1] - side
    for top, left in ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)):
        crop = pixels[:, top : top + side, left : left + side]
        yield from _mirrored_too(crop, side)


VIEWS: dict[str, Callable[[Pixels, int], Iterator[Pixels]]] = {
    "none": _as_they_are,
    "dense": _as_they_are,
    "flip": _mirrored_too,
    "ten_crop": _ten_crops,
}
"""By the value of --tta: uint8 [batch, side, side, 3] and the network's side -> its views."""
