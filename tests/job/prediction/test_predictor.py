"""`python -m job.predict` as a user runs it, on good and on bad input."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from job import storage
from job.contract import layout
from job.contract.configs import PredictConfig
from job.contract.errors import ExitCode
from job.prediction.image_reader import REASONS
from job.prediction.parts import decode_rows
from job.prediction.predictor import predict
from job.process import entry
from tests.job.exported_model import make_model
from tests.job.pictures import ORIENTATION, encoded, jpeg, scene, write_files
from tests.job.trained_run import CLASSES, assert_one_line, read_json

EVIL = "2/<b>&.jpg"
GOOD = {f"{number % 3}/{number:03d}.jpg": jpeg(number) for number in range(39)} | {EVIL: jpeg(99)}
BAD = {
    "0/cut.jpg": jpeg(1)[:400],
    "1/empty.jpg": b"",
    "1/<i>.jpg": b"this is no image at all",
    "2/cut.webp": encoded(scene(3), "WEBP")[:-300],
}
REASON = {
    "cut.jpg": "damaged",
    "empty.jpg": "empty",
    "<i>.jpg": "unsupported_format",
    "cut.webp": "damaged",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def signatures(model):
    loaded = tf.saved_model.load(model)
    # The functions hold their variables weakly.
    yield loaded.signatures
    del loaded


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("images")
    return str(write_files(folder, GOOD | BAD | {"notes.txt": b"not asked for"}))


def call(model: str, images: str, output: object, *args: str) -> int:
    return entry.run(
        predict,
        PredictConfig,
        program="python -m job.predict",
        description="",
        args=[
            f"--model={model}", f"--images={images}", f"--output={output}", "--batch_size=8",
            "--precision=float32", "--top_k=7", *args,
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(model, images, tmp_path_factory) -> Path:
    """The output of one whole prediction, with embeddings and gallery."""
    output = tmp_path_factory.mktemp("outputs") / "out"
    assert call(model, images, output, "--embedding", "--gallery") == ExitCode.DONE
    return output


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def rows(output: object, what: str = "part") -> list[dict]:
    """All rows of all parts, from wherever the output lies."""
    found = [s.path for s in storage.list_files(str(output)) if f"/{what}-" in s.path]
    return [row for path in found for row in _rows_of(path, storage.read_bytes(path))]


def _rows_of(path: str, content: bytes) -> list[dict]:
    if path.endswith(".parquet"):
        return decode_rows(content, "parquet", path)
    return [json.loads(line) for line in content.splitlines()]


def names(output: object, what: str = "part") -> list[str]:
    return [row["image"] for row in rows(output, what)]


def all_good(images: str) -> list[str]:
    return sorted(f"{images}/{name}" for name in GOOD)


def assert_says(found: list[dict], probabilities: np.ndarray) -> None:
    for row, wanted in zip(found, probabilities, strict=True):
        np.testing.assert_allclose(seven(row), wanted, atol=2e-6)


def test_every_image_is_predicted_or_rejected_with_a_reason(finished, images) -> None:
    assert names(finished) == all_good(images)
    reasons = {row["image"].rpartition("/")[2]: row["reason"] for row in rows(finished, "rejects")}
    assert reasons == REASON
    assert set(reasons.values()) <= set(REASONS)
    assert not os.path.exists(os.path.dirname(layout.part_note(str(finished), "part")))
    summary = read_json(layout.summary_file(str(finished)))
    assert (summary["seen"], summary["predicted"], summary["rejected"]) == (44, 40, 4)
    assert summary["reasons"] == {"damaged": 2, "empty": 1, "unsupported_format": 1}
    assert {row["generation"] for row in rows(finished)} <= {
        os.stat(name).st_mtime_ns for name in all_good(images)
    }


def test_files_as_cameras_and_browsers_write_them_are_predicted(model, tmp_path) -> None:
    """Turned as they were meant to be seen, by EXIF, in formats that the model does not know."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # Stored lying on its left side.
    lying = np.ascontiguousarray(np.rot90(scene(5)))
    files = {
        "upright.png": encoded(scene(5), "PNG"),
        "lying.png": encoded(lying, "PNG"),
        "turned.png": encoded(lying, "PNG", exif=exif),
        "lossless.webp": encoded(scene(5), "WEBP", lossless=True),
        "turned.jpg": encoded(lying, exif=exif, quality=100, subsampling=0),
    }
    folder, output = write_files(tmp_path / "images", files), tmp_path / "out"
    assert call(model, str(folder), output) == ExitCode.DONE
    assert rows(output, "rejects") == []
    found = {row["image"].rpartition("/")[2]: seven(row) for row in rows(output)}
    upright = found["upright.png"]
    assert np.array_equal(found["turned.png"], upright)
    assert np.array_equal(found["lossless.webp"], upright)
    assert np.abs(found["turned.jpg"] - upright).max() < 0.05
    assert np.abs(found["lying.png"] - upright).max() > 0.1


def seven(row: dict) -> np.ndarray:
    by_label = {guess["label"]: guess["probability"] for guess in row["top"]}
    return np.array([by_label[label] for label in range(7)])


def test_predictions_are_what_the_exported_model_says(finished, signatures) -> None:
    """The same decoder and the same weights: batches aside, no difference."""
    found = rows(finished)
    contents = tf.constant([Path(row["image"]).read_bytes() for row in found])
    answer = signatures["features"](images=contents)
    assert_says(found, answer["probabilities"].numpy())
    for row, embedding in zip(found, answer["embedding"].numpy(), strict=True):
        assert [guess["class"] for guess in row["top"]] == [
            CLASSES[guess["label"]] for guess in row["top"]
        ]
        np.testing.assert_allclose(row["embedding"], embedding, rtol=1e-4, atol=2e-6)


def test_the_gallery_is_one_escaped_page(finished) -> None:
    page = Path(layout.gallery_file(str(finished))).read_text()
    assert page.count("data:image/jpeg;base64,") == 40
    assert "&lt;b&gt;&amp;.jpg" in page
    assert "&lt;i&gt;.jpg" in page
    assert not re.search(r"<b>&|<i>\.jpg|<script", page)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//)""", page)


def test_parquet_in_another_precision_holds_the_same(finished, model, images, tmp_path) -> None:
    """bfloat16 of a model exported in float32 uses the same weights."""
    args = ("--embedding", "--format=parquet", "--precision=bfloat16")
    assert call(model, images, tmp_path / "out", *args) == 0
    for one, other in zip(rows(finished), rows(tmp_path / "out"), strict=True):
        assert one["image"] == other["image"]
        probability = {guess["label"]: guess["probability"] for guess in other["top"]}
        for guess in one["top"]:
            assert probability[guess["label"]] == pytest.approx(guess["probability"], abs=0.1)
        # bfloat16 has 8 significant bits, and rounds after each of 16 layers.
        largest = max(one["embedding"])
        np.testing.assert_allclose(one["embedding"], other["embedding"], atol=0.05 * largest)


@pytest.mark.parametrize("tta", ["flip", "ten_crop", "dense"])
def test_views_are_averaged(model, signatures, images, tmp_path, tta) -> None:
    assert call(model, f"{images}/0/00*.jpg", tmp_path / "out", f"--tta={tta}") == 0
    found = rows(tmp_path / "out")
    contents = tf.constant([Path(row["image"]).read_bytes() for row in found])
    prefix = "" if tta == "flip" else "dense_"
    pixels = signatures[f"{prefix}decode"](images=contents)["pixels"].numpy()
    if tta == "dense":
        views, score = [pixels], signatures["dense_pixels"]
    elif tta == "flip":
        views, score = [pixels, pixels[:, :, ::-1]], signatures["pixels"]
    else:
        end = pixels.shape[1] - 32
        places = ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2))
        crops = [pixels[:, top : top + 32, left : left + 32] for top, left in places]
        views, score = [*crops, *(crop[:, :, ::-1] for crop in crops)], signatures["pixels"]
    answers = [score(pixels=tf.constant(view))["probabilities"].numpy() for view in views]
    assert_says(found, np.mean(answers, axis=0))


def test_later_changes_to_the_images_change_nothing(model, tmp_path) -> None:
    """Tasks share the images as they were first listed: what is added is not seen, what is
    replaced or removed is rejected, never swapped."""
    images, output = str(write_files(tmp_path / "images", GOOD | BAD)), tmp_path / "out"
    assert call(model, images, output, "--task_index=0", "--num_tasks=3") == 0
    replaced, removed = [name for name in all_good(images) if "b>" not in name][-2:]
    Path(images, "0/aaa.jpg").write_bytes(jpeg(1))
    Path(replaced).write_bytes(jpeg(99))
    Path(removed).unlink()
    for task in (2, 1):
        assert not (output / "summary.json").exists()
        assert call(model, images, output, f"--task_index={task}", "--num_tasks=3") == 0
    reasons = {row["image"]: row["reason"] for row in rows(output, "rejects")}
    assert (reasons[replaced], reasons[removed]) == ("changed", "not_found")
    assert names(output) == [n for n in all_good(images) if n not in (replaced, removed)]
    assert read_json(layout.summary_file(str(output)))["seen"] == 44


def test_only_missing_parts_are_done_again(copy, model, images) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copy.glob("part-*")}
    (copy / "summary.json").unlink()
    lost = copy / "part-00001-of-00003.jsonl"
    lost.unlink()
    assert call(model, images, copy, "--embedding") == 0
    after = {path.name: path.stat().st_mtime_ns for path in copy.glob("part-*")}
    assert {name for name in after if after[name] != before[name]} == {lost.name}
    assert names(copy) == all_good(images)
    assert read_json(layout.summary_file(str(copy)))["seen"] == 44


def test_named_parts_alone_are_done(copy, model, images, capsys) -> None:
    """Tasks share the parts that are named: here two of three, by two tasks."""
    for file in ("summary.json", "part-00000-of-00003.jsonl", "part-00002-of-00003.jsonl"):
        (copy / file).unlink()
    capsys.readouterr()
    assert call(model, images, copy, "--embedding", "--parts=3") == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "there is no part 3 of 3")
    shared = ("--embedding", "--num_tasks=2", "--parts=0,2")
    assert call(model, images, copy, *shared, "--task_index=1") == 0
    assert not (copy / "summary.json").exists()
    assert call(model, images, copy, *shared, "--task_index=0") == 0
    assert names(copy) == all_good(images)
    assert (copy / "summary.json").exists()


def test_everything_may_lie_in_a_bucket(model, bucket) -> None:
    for path in Path(model).rglob("*"):
        if path.is_file():
            storage.upload(str(path), f"{bucket}/model/{path.relative_to(model)}")
    for name, content in (GOOD | BAD).items():
        storage.write_bytes(f"{bucket}/images/{name}", content)
    output = f"{bucket}/out"
    assert call(f"{bucket}/model", f"{bucket}/images", output, "--num_tasks=2") == 0
    replaced = all_good(f"{bucket}/images")[-2]
    storage.write_bytes(replaced, jpeg(77))
    task = ("--task_index=1", "--num_tasks=2", "--gallery")
    assert call(f"{bucket}/model", f"{bucket}/images", output, *task) == 0
    summary = json.loads(storage.read_bytes(layout.summary_file(output)))
    assert summary["reasons"]["changed"] == 1
    assert (summary["seen"], summary["predicted"]) == (44, 39)
    assert storage.exists(layout.gallery_file(output))


def test_bad_input_is_one_line(model, images, tmp_path, capsys) -> None:
    output = tmp_path / "out"
    assert call(str(tmp_path), images, output) == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "not a complete model")
    assert call(model, str(tmp_path / "nowhere"), output) == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "nowhere")
    assert call(model, images, images) == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "no part of a prediction")
    output.mkdir()
    (output / "file").write_bytes(b"")
    for path in (output / "file", output / "file" / "below"):
        assert call(model, images, path) == ExitCode.BAD_CONFIG
        assert_one_line(capsys, "file is a file, and --output must be a folder")


def test_an_output_is_of_one_prediction_only(finished, model, images, capsys) -> None:
    assert call(model, f"{images}/0", finished) == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "holds predictions for")
    assert call(model, images, finished, "--embedding", "--tta=flip") == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "tta none, not flip")


def test_a_damaged_model_is_named(model, images, tmp_path, capsys) -> None:
    damaged = Path(shutil.copytree(model, tmp_path / "model"))
    (damaged / layout.SAVED_MODEL_FILE).write_bytes(b"not what it was")
    assert call(str(damaged), images, tmp_path / "out") == ExitCode.BAD_DATA
    assert_one_line(capsys, "saved_model.pb is damaged")
