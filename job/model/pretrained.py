"""Pretrained weights into the network: slim's vgg_19 of 2016, or a run of our own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from job.contract.errors import DataError
from job.model import checkpoint_source, shapes
from job.model.vgg19 import VGG19

_HEAD = f"{shapes.SCOPE}/fc8"
_FLOAT32_BYTES = 4
_NAMES_SHOWN = 3
# What TensorFlow's reader raises for a file that is cut, altered or something else.
_UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did, by the names of variables.

    `skipped` are the network's own that keep their random start; `ignored` are the checkpoint's
    that the network has no use for (mean_rgb, global_step, slots, layers of another head).
    """

    source: str
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    ignored: tuple[str, ...]
    loaded_bytes: int

    def __str__(self) -> str:
        parts = [
            f"loaded {len(self.loaded)} variables ({self.loaded_bytes / 1e6:.1f} MB) from "
            f"{self.source}"
        ]
        if self.skipped:
            parts.append(f"random: {_shorten(self.skipped)}")
        if self.ignored:
            parts.append(f"ignored: {_shorten(self.ignored)}")
        return "; ".join(parts)


def load_weights(
    path: str,
    model: VGG19,
    *,
    skip: Sequence[str] = (_HEAD,),
    classes: Sequence[str] = (),
) -> LoadReport:
    """Give the network's variables their values in a checkpoint; the report says it in one line.

    Every worker must call it: under a strategy an assignment is not broadcast.

    Args:
        path: anything `checkpoint_source.local_prefix` takes, local or gs://.
        model: the network; its variables may be those of a strategy.
        skip: layers or variables that keep their random start. Without fc8 among them the last
            layer is loaded too, but only if it fits: another number of classes is no error.
        classes: the names of the network's classes. A run of our own that was trained on the
            very same ones gives the last layer too, whatever `skip` says of it.

    Raises:
        DataError: the file cannot be read, or variables are missing or have other shapes; one
            error names them all, and nothing was assigned.
        InputMissingError: there is no checkpoint at `path`.
        ConfigError: it is not clear which checkpoint is meant.
    """
    if classes and checkpoint_source.classes_of(path) == tuple(classes):
        skip = [scope for scope in skip if scope != _HEAD]
    with checkpoint_source.local_prefix(path) as prefix:
        try:
            reader = tf.train.load_checkpoint(prefix)
            found = {
                name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()
            }
            report = _plan(path, _expected_shapes(model), found, skip)
            for name in report.loaded:
                model.variables_by_name[name].assign(reader.get_tensor(name))
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path} cannot be read as a checkpoint: {reason}") from error
    return report


def _expected_shapes(model: VGG19) -> dict[str, shapes.Shape]:
    return {name: tuple(variable.shape) for name, variable in model.variables_by_name.items()}


def _plan(
    source: str,
    expected: Mapping[str, shapes.Shape],
    found: Mapping[str, shapes.Shape],
    skip: Sequence[str],
) -> LoadReport:
    """Decide by names and shapes alone which variables to load."""
    skipped = [name for name in expected if _is_below(name, skip)]
    head = [name for name in expected if _is_below(name, (_HEAD,))]
    if any(found.get(name) != expected[name] for name in head):
        skipped = [name for name in expected if name in skipped or name in head]
    loaded = [name for name in expected if name not in skipped]
    wrong = [
        f"{name} is missing"
        if name not in found
        else f"{name} has shape {found[name]} instead of {expected[name]}"
        for name in loaded
        if found.get(name) != expected[name]
    ]
    if wrong:
        raise DataError(
            f"{source} does not fit this network ({len(wrong)} of {len(loaded)} variables; "
            f"pretrained weights need --width_multiplier=1 and their own head): {'; '.join(wrong)}"
        )
    return LoadReport(
        source=source,
        loaded=tuple(loaded),
        skipped=tuple(skipped),
        ignored=tuple(sorted(found.keys() - set(loaded) - set(skipped))),
        loaded_bytes=_FLOAT32_BYTES * sum(math.prod(expected[name]) for name in loaded),
    )


def _is_below(name: str, scopes: Sequence[str]) -> bool:
    return any(name == scope or name.startswith(f"{scope}/") for scope in scopes)


def _shorten(names: Sequence[str]) -> str:
    more: Any = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
