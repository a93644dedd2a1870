"""The exported model says what evaluation says, about encoded images, and appears whole."""

import hashlib
import itertools
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from job import storage
from job.contract import layout
from job.contract.configs import ExportConfig
from job.contract.errors import ExitCode
from job.dataset.batches import evaluation_batches
from job.evaluation.passes import Scorer
from job.model.trained import load_trained_model
from job.process import entry
from job.run.directory import load_run
from job.serving.exporter import export
from tests.job.trained_run import (
    CLASSES,
    assert_one_line,
    make_dataset,
    make_run,
    noise_jpeg,
    read_json,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data"), (9, 4))


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset) -> str:
    return make_run(tmp_path_factory.mktemp("runs") / "run", dataset, (10, 20), best=10)


def call(*args: str) -> int:
    return entry.run(
        export, ExportConfig, program="python -m job.export", description="", args=args
    )


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, run) -> str:
    output = str(tmp_path_factory.mktemp("models") / "model")
    assert call(f"--run={run}", f"--output={output}") == ExitCode.DONE
    return output


@pytest.fixture(scope="module")
def signatures(model_dir):
    loaded = tf.saved_model.load(model_dir)
    # The functions hold their variables weakly.
    yield loaded.signatures
    del loaded


def photographs(archive: Path, count: int) -> list[bytes]:
    with tarfile.open(archive) as members:
        images = (member for member in members if member.name.endswith(".jpg"))
        return [members.extractfile(image).read() for image in itertools.islice(images, count)]


@pytest.mark.parametrize(
    ("head", "image_size_px", "precision"),
    [("gap", 64, "float32"), ("fc", 224, "float32"), ("gap", 64, "bfloat16")],
)
def test_export_and_evaluation_agree_to_the_last_bit_on_real_photographs(
    ten_class_archive, tmp_path, head, image_size_px, precision
) -> None:
    """The same photographs in the same batches: the difference of the logits is exactly 0."""
    images = photographs(ten_class_archive, 20)
    real = make_dataset(tmp_path / "real", (20,), encoded=images.__getitem__)
    run = make_run(tmp_path / "run", real, (5,), head=head, image_size_px=image_size_px)
    output = str(tmp_path / "model")
    assert call(f"--run={run}", f"--output={output}", f"--precision={precision}") == ExitCode.DONE
    dtype = tf.dtypes.as_dtype(precision)
    batches = evaluation_batches(
        real, "test", image_size_px=image_size_px, batch_size=10, worker=0, num_workers=1
    )
    strategy = tf.distribute.get_strategy()
    trained = load_trained_model(load_run(run), "best", strategy)
    evaluated = Scorer(trained.network, dtype, strategy, 1).predict(batches)
    by_id = dict(zip(evaluated.ids.tolist(), evaluated.logits, strict=True))

    loaded = tf.saved_model.load(output)
    order = evaluated.ids.tolist()
    for start in (0, 10):
        ids = order[start : start + 10]
        served = loaded.signatures["features"](images=tf.constant([images[i] for i in ids]))
        expected = np.stack([by_id[i] for i in ids])
        assert np.abs(served["logits"].numpy() - expected).max() == 0.0
        assert np.ptp(expected, axis=0).max() > 1e-3, "the photographs must be told apart"


def test_the_serving_signature_takes_encoded_images_and_names_classes(signatures) -> None:
    images = tf.constant([noise_jpeg(seed) for seed in range(3)])
    answer = signatures["serving_default"](images=images)
    probabilities = answer["probabilities"].numpy()
    assert probabilities.shape == (3, len(CLASSES))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    best_first = np.argsort(-probabilities, axis=1)[:, :5]
    np.testing.assert_array_equal(answer["labels"].numpy(), best_first)
    assert answer["classes"].numpy()[0].tolist() == [CLASSES[i].encode() for i in best_first[0]]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_images_can_be_asked_about(signatures, count) -> None:
    images = tf.constant([noise_jpeg(seed) for seed in range(count)], tf.string)
    assert signatures["serving_default"](images=images)["classes"].shape == (count, 5)


def test_decoding_and_scoring_apart_give_the_same_as_together(signatures) -> None:
    images = tf.constant([noise_jpeg(seed) for seed in range(4)])
    together = signatures["features"](images=images)
    pixels = signatures["decode"](images=images)["pixels"]
    assert pixels.dtype == tf.uint8
    apart = signatures["pixels"](pixels=pixels)
    for name in ("logits", "probabilities", "embedding"):
        np.testing.assert_array_equal(together[name], apart[name])


def test_the_dense_signature_scores_larger_squares(signatures, model_dir) -> None:
    side = read_json(layout.model_file(model_dir))["dense_size_px"]
    pixels = signatures["dense_decode"](images=tf.constant([noise_jpeg(1)]))["pixels"]
    assert pixels.shape == (1, side, side, 3)
    assert signatures["dense_pixels"](pixels=pixels)["logits"].shape == (1, len(CLASSES))


def test_model_json_describes_the_model_and_every_file(model_dir, run) -> None:
    description = read_json(layout.model_file(model_dir))
    assert description["step"] == 10
    assert description["classes"] == list(CLASSES)
    assert description["image_size_px"] == 32
    assert description["config"]["run"] == run
    found = {
        str(path.relative_to(model_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(model_dir).rglob("*")
        if path.is_file() and path.name != layout.MODEL_FILE
    }
    assert {name: facts["sha256"] for name, facts in description["files"].items()} == found
    assert layout.SAVED_MODEL_FILE in found
    assert (Path(model_dir) / "assets/classes.txt").read_text().split() == list(CLASSES)


def test_a_model_is_not_replaced_unless_asked(model_dir, run, capsys) -> None:
    assert call(f"--run={run}", f"--output={model_dir}/") == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "holds a model already", "--overwrite")


def test_overwrite_replaces_a_model_and_leaves_nothing_of_it(run, tmp_path) -> None:
    output = tmp_path / "model"
    call(f"--run={run}", f"--output={output}")
    (output / "variables/variables.data-00001-of-00002").write_text("of an older model")
    assert call(f"--run={run}", f"--output={output}", "--overwrite", "--checkpoint=20") == 0
    assert read_json(layout.model_file(str(output)))["step"] == 20
    assert sorted(path.name for path in (output / "variables").iterdir()) == [
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_things_is_never_touched(run, tmp_path, capsys) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert call(f"--run={run}", f"--output={tmp_path}", "--overwrite") == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_run_without_checkpoints_leaves_no_folder(dataset, tmp_path, capsys) -> None:
    empty = make_run(tmp_path / "run", dataset, steps=())
    assert call(f"--run={empty}", f"--output={tmp_path / 'model'}") == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "no checkpoint")
    assert not (tmp_path / "model").exists()


def test_a_tampered_checkpoint_is_not_exported(dataset, tmp_path, capsys) -> None:
    run = make_run(tmp_path / "run", dataset)
    data = Path(layout.checkpoint_dir(run, 10)) / "model.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    assert call(f"--run={run}", f"--output={tmp_path / 'model'}") == ExitCode.BAD_DATA
    assert_one_line(capsys, "altered")


def test_a_model_travels_through_a_bucket(run, bucket, tmp_path) -> None:
    """model.json comes last, and the copy is the model."""
    output = storage.join(bucket, "models", "one")
    assert call(f"--run={run}", f"--output={output}") == ExitCode.DONE
    for stat in storage.list_files(output):
        name = stat.path.removeprefix(output + "/")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        storage.download(stat.path, str(tmp_path / name))
    loaded = tf.saved_model.load(str(tmp_path))
    answer = loaded.signatures["serving_default"](images=tf.constant([noise_jpeg(1)]))
    assert answer["classes"].shape == (1, 5)
