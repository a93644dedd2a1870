"""What computes a prediction's network: TensorFlow, or OpenVINO in int8 where that is faster.

The first task that has chosen notes it beside the listing, and all others keep to that: the parts
of one prediction are of one arithmetic, whatever machines its tasks run on.
"""

import importlib.util
import logging
import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import tensorflow as tf

from job import storage
from job.contract import layout, schema
from job.contract.configs import PredictConfig
from job.contract.errors import ConfigError
from job.model import precision
from job.prediction.model import Arithmetic, PredictModel
from job.serving.model_files import ModelFacts
from job.storage.interface import NotFoundError, PreconditionError

_TRIAL_IMAGES = 8
_TRIALS = 3
_log = logging.getLogger(__name__)


_INT8 = Arithmetic(runtime="openvino", precision="int8")


class Wanted(Protocol):
    """What the settings of a prediction or of a server say about its arithmetic."""

    @property
    def model(self) -> str:
        """The model directory."""

    @property
    def runtime(self) -> str:
        """auto, tensorflow or openvino."""

    @property
    def precision(self) -> str:
        """auto, or the name of an arithmetic."""


def load(folder: str, facts: ModelFacts, config: PredictConfig) -> PredictModel:
    """Load a model with what the prediction computes in, chosen now or by an earlier task.

    Raises:
        ConfigError: The runtime that was asked for cannot run this model here.
    """
    noted = _noted(config.output)
    if noted is not None:
        _log.info("%s, as this prediction was begun", noted)
        return _load(folder, facts, config.tta, noted)
    model = choose(folder, facts, config, config.tta)
    agreed = _note(config.output, model.arithmetic)
    return model if agreed == model.arithmetic else _load(folder, facts, config.tta, agreed)


def _check(config: Wanted, facts: ModelFacts) -> None:
    if config.runtime != "openvino":
        return
    if config.precision != "auto":
        raise ConfigError(
            f"runtime openvino computes in int8, not in precision {config.precision}; leave "
            "--precision out, or give --runtime=tensorflow"
        )
    if facts.int8 is None:
        raise ConfigError(
            f"{config.model} has no network for runtime openvino; export it with "
            "--precision=int8 --calibration_data=DATASET, or give --runtime=tensorflow"
        )


def choose(folder: str, facts: ModelFacts, config: Wanted, tta: str = "none") -> PredictModel:
    """Load a model with what was asked for, or with what this machine is faster with.

    Raises:
        ConfigError: The runtime that was asked for cannot run this model here.
    """
    _check(config, facts)
    if config.runtime == "openvino":
        return _load(folder, facts, tta, _INT8)
    own = Arithmetic(runtime="tensorflow", precision=precision.choose(config.precision).name)
    model = _load(folder, facts, tta, own)
    if config.runtime == "tensorflow" or config.precision != "auto" or facts.int8 is None:
        return model
    why_not = _why_not_int8(facts)
    if why_not:
        _log.info("%s; int8 is not used: %s", own, why_not)
        return model
    other = _load(folder, facts, tta, _INT8)
    own_s, int8_s = _seconds(model, other)
    _log.info(
        "%d images take %.0f ms in %s and %.0f ms in %s",
        _TRIAL_IMAGES, 1e3 * own_s, own, 1e3 * int8_s, _INT8,
    )  # fmt: skip
    return other if int8_s < own_s else model


def _why_not_int8(facts: ModelFacts) -> str:
    if facts.int8 is None or not facts.int8.default:
        return "its export lost more accuracy than it was allowed to"
    if tf.config.list_physical_devices("GPU"):
        return "this machine has a GPU"
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed (pip install 'food101-vgg19[openvino]')"
    from job.serving.openvino_network import has_fast_int8

    return "" if has_fast_int8() else "this processor has neither VNNI nor AMX"


def _load(folder: str, facts: ModelFacts, tta: str, arithmetic: Arithmetic) -> PredictModel:
    if arithmetic.runtime == "openvino" and importlib.util.find_spec("openvino") is None:
        raise ConfigError(
            "runtime openvino needs the package openvino, which is not installed; pip install "
            "'food101-vgg19[openvino]', or give --runtime=tensorflow and another --output"
        )
    return PredictModel(folder, facts, tta, arithmetic)


def _seconds(*models: PredictModel) -> list[float]:
    """Time each model in turn; the fastest of each, as what else runs only ever adds time."""
    images = np.zeros((_TRIAL_IMAGES, models[0].side_px, models[0].side_px, 3), np.uint8)
    times: list[list[float]] = []
    for _ in range(1 + _TRIALS):
        row = []
        for model in models:
            start = time.perf_counter()
            model.score(images)
            row.append(time.perf_counter() - start)
        times.append(row)
    return [min(column) for column in zip(*times[1:], strict=True)]


def _noted(output: str) -> Arithmetic | None:
    path = layout.arithmetic_file(output)
    try:
        return schema.read(storage.read_bytes(path), Arithmetic, what=path)
    except NotFoundError:
        return None


def _note(output: str, chosen: Arithmetic) -> Arithmetic:
    """Note the choice, or give the one that another task has noted meanwhile."""
    try:
        content = schema.write(chosen)
        storage.write_bytes(layout.arithmetic_file(output), content, if_absent=True)
    except PreconditionError:
        return _noted(output) or chosen
    return chosen


def described(output: str) -> Mapping[str, str]:
    """Give what a prediction's summary says about its arithmetic; empty if nothing was scored."""
    noted = _noted(output)
    return {} if noted is None else {"runtime": noted.runtime, "computed_in": noted.precision}
