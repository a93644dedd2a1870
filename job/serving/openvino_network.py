"""A network of OpenVINO that scores pixels, compiled for the cores of this machine."""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from job.process.cores import available_cores

_log = logging.getLogger(__name__)
_FAST_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")
_CPUINFO = "/proc/cpuinfo"


class OpenVinoNetwork:
    """Scores batches; one call at a time.

    Args:
        model: openvino.Model of `job/serving/openvino_graph.py`, or the path of its .xml file.
        side_px: Of the squares to score.
        precision: What floats are computed in: bf16 beside int8 where the processor is fast in
            it, or f32.
    """

    def __init__(self, model: Any, side_px: int, precision: str = "") -> None:
        core = ov.Core()
        if isinstance(model, str):
            model = core.read_model(model)
        model.reshape([-1, side_px, side_px, 3])
        # One batch at a time on all cores: batches are large, and the second one's activations
        # would only take memory.
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": available_cores(),
        }
        if precision:
            options["INFERENCE_PRECISION_HINT"] = precision
        self._request = core.compile_model(model, "CPU", options).create_infer_request()

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Score uint8 [batch, side, side, 3]: `logits`, `probabilities` and `embedding`."""
        answer = self._request.infer({"pixels": pixels}, share_inputs=True)
        logits = answer["logits"]
        return {
            "logits": logits,
            "probabilities": _softmax(logits),
            "embedding": answer["embedding"],
        }


def has_fast_int8() -> bool:
    """Whether the processor multiplies int8 faster than floats (VNNI, AMX, dot products of Arm).

    True where the processor does not say what it has, so that a measurement decides.
    """
    try:
        with open(_CPUINFO, encoding="ascii", errors="replace") as file:
            flags = set(file.read().split())
    except OSError:
        return True
    return any(flag in flags for flag in _FAST_INT8)


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares
