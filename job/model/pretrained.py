"""Pretrained weights into the network: slim's, a run of our own, Keras' or torchvision's."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from job.contract.errors import DataError
from job.model import checkpoint_source, shapes, weight_file
from job.model.vgg19 import VGG19
from job.model.weights import Weights

_HEAD = f"{shapes.SCOPE}/fc8"
_HIDDEN = (f"{shapes.SCOPE}/fc6", f"{shapes.SCOPE}/fc7")
_FLOAT32_BYTES = 4
_NAMES_SHOWN = 3
_OTHER_VGG = re.compile(r"vgg_(\d+|a)")


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

    @property
    def has_head(self) -> bool:
        """Whether the last layer's weights were loaded, too."""
        return any(_is_below(name, (_HEAD,)) for name in self.loaded)

    def __str__(self) -> str:
        parts = [
            f"loaded {len(self.loaded)} variables ({self.loaded_bytes / 1e6:.1f} MB) from "
            f"{self.source}"
        ]
        if self.skipped:
            parts.append(f"random: {_shorten(self.skipped)}")
        if self.has_head:
            parts.append("the last layer too, since it has the same classes")
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
    with (
        checkpoint_source.local_prefix(path) as prefix,
        weight_file.opened(prefix, path) as weights,
    ):
        report = _plan(path, _expected_shapes(model), weights, skip)
        for name in report.loaded:
            model.variables_by_name[name].assign(weights.read(name))
    return report


def _expected_shapes(model: VGG19) -> dict[str, shapes.Shape]:
    return {name: tuple(variable.shape) for name, variable in model.variables_by_name.items()}


def _plan(
    source: str,
    expected: Mapping[str, shapes.Shape],
    weights: Weights,
    skip: Sequence[str],
) -> LoadReport:
    """Decide by names and shapes alone which variables to load."""
    found = weights.shapes
    if not any(_is_below(name, (shapes.SCOPE,)) for name in found):
        raise DataError(_another_network(source, found))
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
        without_head = all(_is_below(line.split(" ")[0], _HIDDEN) for line in wrong)
        need = (
            "it has no fully connected layers, which --head=gap does without"
            if without_head and not any(_is_below(name, _HIDDEN) for name in found)
            else "pretrained weights need --width_multiplier=1 and their own head"
        )
        raise DataError(
            f"{source} does not fit this network ({len(wrong)} of {len(loaded)} variables; "
            f"{need}): {'; '.join(wrong)}"
        )
    return LoadReport(
        source=f"{source} ({weights.kind})" if weights.kind else source,
        loaded=tuple(loaded),
        skipped=tuple(skipped),
        ignored=tuple(sorted({*found, *weights.also} - set(loaded) - set(skipped))),
        loaded_bytes=_FLOAT32_BYTES * sum(math.prod(expected[name]) for name in loaded),
    )


def _another_network(source: str, found: Iterable[str]) -> str:
    """Say what a checkpoint holds instead of a VGG19, by what its names begin with."""
    scopes = sorted({name.split("/")[0] for name in found})
    other = next(filter(None, map(_OTHER_VGG.fullmatch, scopes)), None)
    what = f"is a VGG{other[1]}" if other else f"holds {_shorten(scopes) or 'nothing'}"
    return f"{source} {what}, and no {shapes.SCOPE}/...; this network is VGG19, give its weights"


def _is_below(name: str, scopes: Sequence[str]) -> bool:
    return any(name == scope or name.startswith(f"{scope}/") for scope in scopes)


def _shorten(names: Sequence[str]) -> str:
    more: Any = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
