"""Pretrained weights: slim's own checkpoints in every form, and our own runs."""

import dataclasses
import hashlib
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig, to_dict
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.model.pretrained import load_weights
from job.model.vgg19 import VGG19
from tests.job import slim_oracle

NARROW = 0.01
CLASSES = 6


def model(classes=CLASSES, **changes):
    return VGG19(classes, **{"width_multiplier": NARROW, "seed": 5} | changes)


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """slim's network at a narrow width, on images larger than 224 px: a map of 2x3 scores."""
    folder = tmp_path_factory.mktemp("slim")
    return slim_oracle.make(folder, classes=CLASSES, size=(256, 300), width_multiplier=NARROW)


@pytest.mark.parametrize("version", slim_oracle.VERSIONS)
def test_logits_equal_slims_also_when_evaluated_densely(slim, version):
    ours = model()
    report = load_weights(slim.prefixes[version], ours, skip=())
    np.testing.assert_allclose(
        ours.forward(slim.images, training=False).logits, slim.logits, atol=1e-5
    )
    assert len(report.loaded) == 38
    assert report.ignored == ("global_step", "vgg_19/mean_rgb")
    assert report.skipped == ()


def test_logits_equal_slims_at_224_px_where_fc6_is_a_matrix_product(tmp_path):
    slim = slim_oracle.make(tmp_path, classes=CLASSES, size=(224, 224), width_multiplier=NARROW)
    ours = model()
    load_weights(slim.prefixes["V2"], ours, skip=())
    forward = ours.forward(slim.images, training=False)
    assert "vgg_19/fc6/weights" in forward.taps
    np.testing.assert_allclose(forward.logits, slim.logits, atol=1e-5)


def test_logits_equal_slims_at_full_width_in_both_formats(tmp_path):
    """The real architecture, 144 million parameters, saved by slim's own vgg_19."""
    slim = slim_oracle.make(tmp_path, classes=1000, size=(224, 224), batch=1)
    ours = VGG19(1000)
    for prefix in slim.prefixes.values():
        for variable in ours.variables_by_name.values():
            variable.assign(tf.zeros(variable.shape))
        report = load_weights(prefix, ours, skip=())
        assert report.loaded_bytes == 143_667_240 * 4
        logits = ours.forward(slim.images, training=False).logits
        np.testing.assert_allclose(logits, slim.logits, atol=1e-5)


def test_the_last_layer_stays_random_unless_it_is_asked_for(slim):
    ours = model()
    before = ours.variables_by_name["vgg_19/fc8/weights"].numpy()
    report = load_weights(slim.prefixes["V1"], ours)
    assert report.skipped == ("vgg_19/fc8/weights", "vgg_19/fc8/biases")
    np.testing.assert_array_equal(ours.variables_by_name["vgg_19/fc8/weights"], before)
    assert str(report) == (
        f"loaded 36 variables (0.1 MB) from {slim.prefixes['V1']}; "
        "random: vgg_19/fc8/weights, vgg_19/fc8/biases; ignored: global_step, vgg_19/mean_rgb"
    )


def test_a_last_layer_of_other_classes_stays_random_even_if_asked_for(slim):
    report = load_weights(slim.prefixes["V2"], model(CLASSES + 1), skip=())
    assert report.skipped == ("vgg_19/fc8/weights", "vgg_19/fc8/biases")
    assert len(report.loaded) == 36


def test_another_head_takes_the_convolutions_and_ignores_the_rest(slim):
    report = load_weights(slim.prefixes["V2"], model(head="gap"))
    assert len(report.loaded) == 32
    assert [name for name in report.ignored if "fc" in name] == [
        "vgg_19/fc6/biases",
        "vgg_19/fc6/weights",
        "vgg_19/fc7/biases",
        "vgg_19/fc7/weights",
    ]


def archive(path, *sources):
    with tarfile.open(path, "w:gz") as tar:
        for source in sources:
            tar.add(source, arcname=f"../../escape/{os.path.basename(source)}")
    return str(path)


def forms(slim, tmp_path):
    """Every way in which a user may point at the same checkpoint."""
    v1, v2 = (slim.prefixes[version] for version in ("V1", "V2"))
    yield v1
    yield os.path.dirname(v1)
    yield v2
    yield f"{v2}.index"
    yield f"{v2}.data-00000-of-00001"
    yield f"{os.path.dirname(v2)}/"
    yield archive(tmp_path / "v1.tar.gz", v1)
    yield archive(tmp_path / "v2.tgz", f"{v2}.index", f"{v2}.data-00000-of-00001")


def test_a_file_a_prefix_a_folder_and_an_archive_load_the_same(slim, tmp_path):
    expected = model()
    load_weights(slim.prefixes["V2"], expected)
    for path in forms(slim, tmp_path):
        ours = model(seed=6)
        report = load_weights(path, ours)
        assert report.source == path
        for name in report.loaded:
            np.testing.assert_array_equal(
                ours.variables_by_name[name], expected.variables_by_name[name]
            )
    assert not list(tmp_path.parent.rglob("escape"))


def test_the_checkpoint_file_says_which_of_several_is_meant(slim, tmp_path):
    for number in (10, 20):
        for suffix in ("index", "data-00000-of-00001"):
            shutil.copy(f"{slim.prefixes['V2']}.{suffix}", tmp_path / f"model-{number}.{suffix}")
    with pytest.raises(ConfigError, match=r"holds 2 checkpoints.*model-10, model-20"):
        load_weights(str(tmp_path), model())
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/old/place/model-20"\n')
    assert len(load_weights(str(tmp_path), model()).loaded) == 36


def test_one_error_names_everything_that_is_missing_or_misshaped(slim):
    ours = model(width_multiplier=0.02)
    before = {name: variable.numpy() for name, variable in ours.variables_by_name.items()}
    with pytest.raises(DataError) as caught:
        load_weights(slim.prefixes["V2"], ours)
    assert "vgg_19/conv4/conv4_1/weights has shape (3, 3, 8, 8) instead of (3, 3, 8, 10)" in str(
        caught.value
    )
    assert "vgg_19/fc6/weights has shape" in str(caught.value)
    for name, value in before.items():
        np.testing.assert_array_equal(ours.variables_by_name[name], value)


def test_a_checkpoint_of_another_network_is_named_with_what_it_holds(tmp_path):
    prefix = save({"dense/kernel": np.float32([1.0])}, tmp_path / "other.ckpt")
    with pytest.raises(DataError, match="holds dense, and no vgg_19/"):
        load_weights(prefix, model())


def save(values, prefix):
    names = list(values)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(value) for value in values.values()],
    )
    return str(prefix)


@pytest.mark.parametrize("name", ["garbage.ckpt", "vgg.pth", "weights.tar.gz"])
def test_a_file_that_is_no_checkpoint_is_a_data_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a checkpoint" * 100)
    with pytest.raises(DataError, match=name):
        load_weights(str(tmp_path / name), model())


def test_a_truncated_checkpoint_or_archive_is_a_data_error(slim, tmp_path):
    whole = archive(tmp_path / "whole.tar.gz", slim.prefixes["V1"])
    data = f"{slim.prefixes['V2']}.data-00000-of-00001"
    shutil.copy(f"{slim.prefixes['V2']}.index", tmp_path / "v2.index")
    for source, name in (
        (whole, "cut.tar.gz"),
        (slim.prefixes["V1"], "cut.ckpt"),
        (data, "v2.data-00000-of-00001"),
    ):
        with open(source, "rb") as file:
            content = file.read()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=name):
            load_weights(str(tmp_path / name), model())


@pytest.mark.parametrize("name", ["", "nothing.ckpt", "nothing.tar.gz"])
def test_what_is_not_there_is_a_missing_input(tmp_path, name):
    with pytest.raises(InputMissingError):
        load_weights(str(tmp_path / name), model())


def commit(run, step, values):
    folder = layout.checkpoint_dir(str(run), step)
    os.makedirs(folder)
    save(values, f"{folder}/model")
    files = {}
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", "rb") as file:
            content = file.read()
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {"step": step, "files": files}
    with open(layout.manifest_file(folder), "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    return folder


def test_our_own_run_gives_its_newest_whole_checkpoint_with_the_last_layer(tmp_path):
    trained = model(seed=9)
    values = {name: v.numpy() for name, v in trained.variables_by_name.items()}
    extra = {f"{name}/Momentum": value for name, value in values.items()}
    older = commit(tmp_path, 20, {name: value * 0 for name, value in values.items()})
    commit(tmp_path, 40, values | extra | {"global_step": np.int64(40)})
    os.makedirs(layout.checkpoint_dir(str(tmp_path), 60))  # never committed

    ours = model()
    report = load_weights(str(tmp_path), ours, skip=())
    for name, value in values.items():
        np.testing.assert_array_equal(ours.variables_by_name[name], value)
    assert len(report.ignored) == 39
    said = str(dataclasses.replace(report, ignored=()))
    assert said.endswith("; the last layer too, since it has the same classes")

    load_weights(older, ours, skip=())
    assert not np.any(ours.variables_by_name["vgg_19/conv1/conv1_1/weights"])


def test_a_run_on_the_same_classes_gives_its_last_layer_and_one_on_others_does_not(tmp_path):
    classes = ["apple_pie", "baklava", "churros", "donuts", "edamame", "falafel"]
    values = {n: v.numpy() for n, v in model(seed=9).variables_by_name.items()}
    folder = commit(tmp_path, 7, values)
    config = TrainConfig(data="d", run=str(tmp_path))
    storage.write_bytes(layout.config_file(str(tmp_path)), json.dumps(to_dict(config)).encode())
    dataset = {"name": "food", "fingerprint": "0", "classes": classes}
    storage.write_bytes(layout.run_dataset_file(str(tmp_path)), json.dumps(dataset).encode())
    for path in (str(tmp_path), folder):
        assert load_weights(path, model(), classes=classes).skipped == ()
        assert len(load_weights(path, model(), classes=[*classes[:5], "gyoza"]).skipped) == 2
        assert len(load_weights(path, model()).skipped) == 2


def test_an_altered_checkpoint_of_our_own_is_a_data_error(tmp_path):
    folder = commit(tmp_path, 5, {"vgg_19/fc8/biases": np.float32([1.0])})
    with open(f"{folder}/model.data-00000-of-00001", "r+b") as file:
        file.write(b"\xff")
    with pytest.raises(DataError, match="SHA-256"):
        load_weights(folder, model())


def test_every_copy_under_a_strategy_is_loaded(slim):
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        ours = model()
    load_weights(slim.prefixes["V1"], ours, skip=())
    np.testing.assert_allclose(
        ours.forward(slim.images, training=False).logits, slim.logits, atol=1e-5
    )


def test_checkpoints_archives_and_runs_in_a_bucket_load_as_local_ones_do(slim, bucket, tmp_path):
    run = tmp_path / "run"
    commit(run, 3, {n: v.numpy() for n, v in model(seed=8).variables_by_name.items()})
    packed = archive(tmp_path / "v1.tar.gz", slim.prefixes["V1"])
    for local, remote in (
        (slim.prefixes["V1"], "v1/vgg_19.ckpt"),
        (f"{slim.prefixes['V2']}.index", "v2/vgg_19.ckpt.index"),
        (f"{slim.prefixes['V2']}.data-00000-of-00001", "v2/vgg_19.ckpt.data-00000-of-00001"),
        (packed, "vgg_19.tar.gz"),
        *(
            (file.path, file.path.removeprefix(f"{tmp_path}/"))
            for file in storage.list_files(str(run))
        ),
    ):
        storage.upload(local, f"{bucket}/{remote}")
    for remote in ("v1/vgg_19.ckpt", "v1", "v2/vgg_19.ckpt", "v2", "vgg_19.tar.gz", "run"):
        assert len(load_weights(f"{bucket}/{remote}", model(), skip=()).loaded) == 38
    with pytest.raises(InputMissingError):
        load_weights(f"{bucket}/nothing", model())
