"""VGG19 in other frameworks, for `tests.benchmarks.predict`: a process that scores when told to.

It runs in an environment of its own, so it needs numpy and the framework, nothing of this project.
It writes the names of its sides as a line of JSON; for each line `SIDE START STOP` that it reads,
it scores those of the decoded images and answers with seconds, seconds of all its threads on a
core, and top-1 labels.

All sides take what a decoder gives, uint8 [batch, 224, 224, 3] RGB, and give logits in float32.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

MEAN_RGB = np.array([123.68, 116.78, 103.94], np.float32)
CALIBRATED = 128
BLOCKS = ((1, 2), (2, 2), (3, 4), (4, 4), (5, 4))
Score = Callable[[np.ndarray], np.ndarray]


def layers(weights: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Any, Any]]:
    """Yield conv (kernel OIHW, biases), pool and dense (matrix [in, out], biases) in order.

    fc6 takes the last features as [channels, height, width], in the order of a flattened NCHW.
    """
    for block, convolutions in BLOCKS:
        for number in range(1, convolutions + 1):
            name = f"vgg_19/conv{block}/conv{block}_{number}"
            kernel = np.ascontiguousarray(weights[f"{name}/weights"].transpose(3, 2, 0, 1))
            yield "conv", kernel, weights[f"{name}/biases"]
        yield "pool", None, None
    for name in ("fc6", "fc7", "fc8"):
        matrix = weights[f"vgg_19/{name}/weights"]
        matrix = matrix.transpose(2, 0, 1, 3).reshape(-1, matrix.shape[3])
        yield "dense", np.ascontiguousarray(matrix), weights[f"vgg_19/{name}/biases"]


def torch_network(weights: Mapping[str, np.ndarray]) -> Any:
    """Build the network, channels-last."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for kind, matrix, biases in layers(weights):
        if kind == "pool":
            modules.append(nn.MaxPool2d(2))
            continue
        if kind == "conv":
            layer: Any = nn.Conv2d(matrix.shape[1], matrix.shape[0], 3, padding=1)
        else:
            if isinstance(modules[-1], nn.MaxPool2d):
                modules.append(nn.Flatten())
            layer = nn.Linear(*matrix.shape)
            matrix = np.ascontiguousarray(matrix.T)
        layer.weight.data = torch.from_numpy(matrix)
        layer.bias.data = torch.from_numpy(biases)
        modules += [layer, nn.ReLU(inplace=True)]
    return nn.Sequential(*modules[:-1]).eval().to(memory_format=torch.channels_last)


def torch_sides(weights: Mapping[str, np.ndarray]) -> dict[str, Score]:
    """bfloat16 weights, automatic mixed precision, and compiled with constants folded."""
    import copy

    import torch
    import torch._inductor.config

    network = torch_network(weights)
    rounded = copy.deepcopy(network).bfloat16()
    torch._inductor.config.freezing = True
    compiled = torch.compile(rounded)
    mean = torch.from_numpy(MEAN_RGB).view(1, 3, 1, 1)

    def side(module: Any, *, autocast: bool) -> Score:
        def score(pixels: np.ndarray) -> np.ndarray:
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - mean
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                answer: np.ndarray = module(images.bfloat16()).float().numpy()
            return answer

        return score

    name = f"PyTorch {torch.__version__.partition('+')[0]}"
    return {
        f"{name} .bfloat16()": side(rounded, autocast=False),
        f"{name} autocast": side(network, autocast=True),
        f"{name} torch.compile": side(compiled, autocast=False),
    }


def openvino_sides(weights: Mapping[str, np.ndarray], images: np.ndarray) -> dict[str, Score]:
    """One network, compiled for bfloat16 and float32, and quantised by NNCF's own defaults."""
    import nncf
    import openvino
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, 224, 224, 3], openvino.Type.u8)
    flow: Any = ops.subtract(ops.convert(pixels, "f32"), ops.constant(MEAN_RGB))
    flow = ops.transpose(flow, ops.constant(np.array([0, 3, 1, 2])))
    plan = list(layers(weights))
    flat = False
    for number, (kind, matrix, biases) in enumerate(plan):
        if kind == "pool":
            flow = ops.max_pool(flow, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
            continue
        if kind == "conv":
            flow = ops.convolution(flow, ops.constant(matrix), [1, 1], [1, 1], [1, 1], [1, 1])
            flow = ops.add(flow, ops.constant(biases.reshape(1, -1, 1, 1)))
        else:
            if not flat:
                flow = ops.reshape(flow, ops.constant(np.array([-1, len(matrix)])), False)
                flat = True
            flow = ops.add(ops.matmul(flow, ops.constant(matrix), False, False), biases)
        if number < len(plan) - 1:
            flow = ops.relu(flow)
    model = openvino.Model([flow], [pixels])
    version = ".".join(openvino.__version__.split(".")[:2])

    quantised = nncf.quantize(model, nncf.Dataset(list(images[:CALIBRATED, np.newaxis])))

    def side(precision: str, model: Any = model) -> Score:
        settings = {"PERFORMANCE_HINT": "LATENCY"}
        if precision:
            settings["INFERENCE_PRECISION_HINT"] = precision
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        return lambda images: request.infer([images])[0].copy()

    return {
        f"OpenVINO {version} bfloat16": side("bf16"),
        f"OpenVINO {version} float32": side("f32"),
        f"OpenVINO {version} int8": side("", quantised),
    }


def onnxruntime_sides(weights: Mapping[str, np.ndarray]) -> dict[str, Score]:
    """Computes in float32: its CPU provider has no bfloat16 convolution."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants = [numpy_helper.from_array(MEAN_RGB, "mean")]
    flow = "pixels"

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"v{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    flow = add("Sub", add("Cast", flow, to=TensorProto.FLOAT), "mean")
    flow = add("Transpose", flow, perm=[0, 3, 1, 2])
    plan = list(layers(weights))
    for number, (kind, matrix, biases) in enumerate(plan):
        if kind == "pool":
            flow = add("MaxPool", flow, kernel_shape=[2, 2], strides=[2, 2])
            continue
        constants += [
            numpy_helper.from_array(matrix, f"w{number}"),
            numpy_helper.from_array(biases, f"b{number}"),
        ]
        if kind == "conv":
            flow = add("Conv", flow, f"w{number}", f"b{number}", pads=[1, 1, 1, 1])
        else:
            flow = add("Gemm", add("Flatten", flow), f"w{number}", f"b{number}")
        if number < len(plan) - 1:
            flow = add("Relu", flow)
    graph = helper.make_graph(
        nodes,
        "vgg19",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 224, 224, 3])],
        [helper.make_tensor_value_info(flow, TensorProto.FLOAT, ["n", len(plan[-1][2])])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    # Its threads would keep the cores busy while it is the others' turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    version = onnxruntime.__version__.rpartition(".")[0]
    return {
        f"ONNX Runtime {version} float32": lambda images: session.run(None, {"pixels": images})[0]
    }


def main() -> None:
    framework, weights_file, pixels_file = sys.argv[1:4]
    pixels = np.load(pixels_file)
    makers = {
        "torch": torch_sides,
        "openvino": lambda weights: openvino_sides(weights, pixels),
        "onnxruntime": onnxruntime_sides,
    }
    with np.load(weights_file) as weights:
        sides = makers[framework](weights)
    # What the frameworks themselves print must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(list(sides)), file=answers, flush=True)
    for line in sys.stdin:
        side, start, stop = line.rstrip("\n").split("\t")
        batch = pixels[int(start) : int(stop)]
        began, cpu_began = time.perf_counter(), time.process_time()
        logits = sides[side](batch)
        answer = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "top1": logits.argmax(axis=1).tolist(),
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
