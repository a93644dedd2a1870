"""A model exported in int8 says what float32 says, and predictions use it as they are told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from job import storage
from job.contract import layout
from job.contract.configs import ExportConfig, PredictConfig
from job.contract.errors import ConfigError, ExitCode
from job.prediction.parts import decode_rows
from job.prediction.predictor import predict
from job.process import entry
from job.serving.exporter import export
from job.serving.model_files import local_model, read_facts
from job.serving.openvino_graph import build
from job.serving.openvino_network import OpenVinoNetwork
from job.serving.quantised import BothScores, describe
from tests.job.pictures import write_files
from tests.job.trained_run import CLASSES, make_dataset, make_network, make_run, noise_jpeg

SIZE_PX = 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data"), (24,))


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset) -> str:
    return make_run(tmp_path_factory.mktemp("runs") / "run", dataset, (10,), weights_scale=0.1)


def make_int8(run: str, dataset, output: Path, *, max_top1_loss: float = 100.0) -> str:
    export(
        ExportConfig(
            run=run,
            output=str(output),
            precision="int8",
            calibration_data=dataset.path,
            max_top1_loss=max_top1_loss,
        )
    )
    return str(output)


@pytest.fixture(scope="module")
def model(tmp_path_factory, run, dataset) -> str:
    return make_int8(run, dataset, tmp_path_factory.mktemp("models") / "int8")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> str:
    pictures = {f"{n:02d}.jpg": noise_jpeg(100 + n) for n in range(12)}
    return str(write_files(tmp_path_factory.mktemp("images"), pictures))


def predicted(model: str, images: str, output: Path, **settings: object) -> np.ndarray:
    """Predict; give the probabilities as [images, classes] in the order of the labels."""
    given = {"top_k": len(CLASSES), "batch_size": 4} | settings
    predict(PredictConfig(model=model, images=images, output=str(output), **given))
    rows = [
        row
        for stat in storage.list_files(str(output))
        if "/part-" in stat.path
        for row in decode_rows(storage.read_bytes(stat.path), "jsonl", stat.path)
    ]
    return np.array(
        [[one["probability"] for one in sorted(row["top"], key=lambda one: one["label"])]
         for row in rows]
    )  # fmt: skip


def arithmetic(output: Path) -> dict[str, str]:
    return json.loads(Path(layout.arithmetic_file(str(output))).read_text())


@pytest.mark.parametrize(("head", "size_px"), [("gap", 32), ("gap", 40), ("fc", 224), ("fc", 256)])
def test_openvinos_network_is_ours_in_float32(dataset, head: str, size_px: int) -> None:
    """Before any quantisation, the graph made from our weights gives our logits."""
    from job.contract.configs import TrainConfig
    from job.evaluation.passes import score

    config = TrainConfig(data="-", run="-", head=head, image_size_px=size_px, width_multiplier=0.05)
    network = make_network(config, dataset, seed=3)
    weights = {name: value.numpy() for name, value in network.variables_by_name.items()}
    graph = build(weights, head=head, width_multiplier=0.05)
    pixels = np.random.default_rng(0).integers(0, 256, (3, size_px, size_px, 3), np.uint8)

    ours = score(network, pixels, "float32")
    answer = OpenVinoNetwork(graph, size_px, precision="f32")(pixels)

    np.testing.assert_allclose(answer["logits"], ours.logits.numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(answer["embedding"], ours.embedding.numpy(), rtol=1e-3, atol=1e-3)


def test_the_export_says_what_int8_costs_and_older_readers_read_it(model) -> None:
    facts = read_facts(model)
    note = json.loads(storage.read_bytes(layout.model_file(model)))
    with local_model(model, facts):
        pass  # Every file is there with its hash.
    assert facts.int8 is not None
    assert facts.int8.default
    assert note["format"] == 1
    assert note["precision"] == "float32"
    assert note["int8"]["images"] == 24
    assert note["int8"]["same_top1"] >= 0.75  # Of random weights, whose classes are close
    assert {layout.INT8_NETWORK_FILE, "openvino/int8.bin"} < set(note["files"])
    assert any("FakeQuantize" in line for line in _lines(f"{model}/openvino/int8.xml"))


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def test_int8_predicts_as_float32_does(model, images, tmp_path) -> None:
    exact = predicted(model, images, tmp_path / "f", runtime="tensorflow", precision="float32")
    int8 = predicted(model, images, tmp_path / "i", runtime="openvino")
    assert arithmetic(tmp_path / "i") == {"runtime": "openvino", "precision": "int8"}
    assert (exact.argmax(1) == int8.argmax(1)).mean() >= 0.75
    np.testing.assert_allclose(int8, exact, atol=0.15)
    assert not np.array_equal(int8, exact)


@pytest.mark.parametrize("tta", ["flip", "ten_crop", "dense"])
def test_views_and_embeddings_work_in_int8(model, images, tmp_path, tta: str) -> None:
    options = {"tta": tta, "embedding": True}
    exact = predicted(
        model, images, tmp_path / "f", runtime="tensorflow", precision="float32", **options
    )
    int8 = predicted(model, images, tmp_path / "i", runtime="openvino", **options)
    np.testing.assert_allclose(int8, exact, atol=0.15)


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_a_task_keeps_to_what_an_earlier_one_chose(model, images, tmp_path, runtime: str) -> None:
    """Whatever this machine would choose by itself."""
    output = tmp_path / "out"
    output.mkdir()
    precision = "float32" if runtime == "tensorflow" else "int8"
    noted = {"runtime": runtime, "precision": precision}
    Path(layout.arithmetic_file(str(output))).write_text(json.dumps(noted))
    found = predicted(model, images, output)
    assert arithmetic(output) == noted
    asked = predicted(model, images, tmp_path / "asked", runtime=runtime,
                      precision="auto" if runtime == "openvino" else "float32")  # fmt: skip
    np.testing.assert_array_equal(found, asked)


def test_what_loses_too_much_is_not_used_unasked(model, images, tmp_path) -> None:
    """Its export has noted that; only --runtime=openvino takes it then."""
    model = shutil.copytree(model, tmp_path / "model")
    note = json.loads(storage.read_bytes(layout.model_file(str(model))))
    note["int8"]["default"] = False
    storage.write_bytes(layout.model_file(str(model)), json.dumps(note).encode())
    predicted(str(model), images, tmp_path / "out")
    assert arithmetic(tmp_path / "out")["runtime"] == "tensorflow"


@pytest.mark.parametrize(("allowed", "default"), [(9.9, False), (10.0, True)])
def test_what_int8_may_lose_is_counted_in_points(allowed: float, default: bool) -> None:
    labels = np.zeros(10, np.int64)
    right = np.tile(np.array([[2.0, 0.0, 1.0]], np.float32), (10, 1))
    one_wrong = right.copy()
    one_wrong[0] = [0.0, 1.0, 2.0]
    described = describe(BothScores(labels, right, one_wrong), "data", allowed)
    assert described.default is default
    assert (described.top1, described.float32_top1, described.same_top1) == (0.9, 1.0, 0.9)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precision": "int8"}, "give --calibration_data=DATASET"),
        ({"calibration_data": "d"}, "calibration_data is for --precision=int8"),
    ],
)
def test_half_a_request_for_int8_is_one_line(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ExportConfig(run="r", output="o", **settings)


def test_openvino_is_asked_of_a_model_that_has_no_network_for_it(
    run, dataset, images, tmp_path, capsys
) -> None:
    export(ExportConfig(run=run, output=str(tmp_path / "plain")))
    args = [f"--model={tmp_path}/plain", f"--images={images}", f"--output={tmp_path}/out",
            "--runtime=openvino", "--top_k=3"]  # fmt: skip
    code = entry.run(predict, PredictConfig, program="p", description="", args=args)
    assert code == ExitCode.BAD_CONFIG
    assert "--precision=int8 --calibration_data=DATASET" in capsys.readouterr().err
