"""Weights that others saved: Keras' and torchvision's VGG19, and files that are something else.

Keras itself makes what is compared here. torch_vgg19/ holds what PyTorch 2.15 made of a narrow
torchvision network (make.py there says how), with the logits that it computed.
"""

import contextlib
import json
import shutil
import struct
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job import storage
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.images.preprocess import MEAN_RGB
from job.model import shapes, weight_file
from job.model.pretrained import load_weights
from job.model.vgg19 import VGG19

# Keras and TensorFlow under NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TORCH = Path(__file__).with_name("torch_vgg19")
TORCH_WIDTH = 0.005
CLASSES = 6
HALF_PRECISION = 1e-2
PADDING = 1e-3
"""What torchvision's mean, half a grey level away from ours, leaves around the image."""


def ours(pixels: np.ndarray) -> tf.Tensor:
    """0..255 -> what the network sees."""
    return tf.constant(pixels.astype(np.float32) - np.asarray(MEAN_RGB, np.float32))


def close_to(expected: np.ndarray) -> float:
    """How far sums in another order may be from values of this size."""
    return 2e-4 * float(np.abs(expected).max())


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    """keras.applications.VGG19 without its classifier, and its weights as Keras 2 released them.

    A group per layer, named after it, and its name in each weight's too.
    """
    path = tmp_path_factory.mktemp("keras") / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
    network = keras.applications.VGG19(
        weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg"
    )
    with h5py.File(path, "w") as file:
        for layer in network.layers:
            group = file.create_group(layer.name)
            for kind, value in zip(("W", "b"), layer.get_weights(), strict=False):
                group[f"{layer.name}_{kind}_1:0"] = value
    return network, path


def test_kerass_own_network_gives_the_same_features(official: tuple[keras.Model, Path]) -> None:
    """It sees BGR, ours RGB."""
    theirs, path = official
    network = VGG19(CLASSES, head="gap")
    report = load_weights(str(path), network)
    assert "Keras' VGG19, its first layer turned from BGR to RGB" in str(report)
    assert len(report.loaded) == 32
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = theirs.predict(keras.applications.vgg19.preprocess_input(pixels.copy()), verbose=0)
    found = network.forward(ours(pixels), training=False).embedding
    np.testing.assert_allclose(found, expected, atol=close_to(expected))
    wrong = network.forward(ours(pixels[..., ::-1]), training=False).embedding
    assert np.abs(wrong - expected).max() > 50 * close_to(expected)


def narrow_keras(width: float) -> keras.Model:
    """Keras' layers under the names of its VGG19, at other widths; its own order of flattening."""
    layer = shapes.layer_shapes(CLASSES, "fc", width)
    inputs = features = keras.Input((224, 224, 3))
    for name, shape in shapes.conv_layers(width).items():
        block, number = name.rsplit("/", 1)[1].removeprefix("conv").split("_")
        if number == "1" and block != "1":
            features = keras.layers.MaxPooling2D()(features)
        features = keras.layers.Conv2D(
            shape[3], 3, padding="same", activation="relu", name=f"block{block}_conv{number}"
        )(features)
    features = keras.layers.Flatten()(keras.layers.MaxPooling2D()(features))
    hidden = layer["vgg_19/fc6/biases"][0]
    for name in ("fc1", "fc2"):
        features = keras.layers.Dense(hidden, activation="relu", name=name)(features)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="predictions")(features))


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    """With biases that are not zero."""
    network, random = narrow_keras(TORCH_WIDTH), np.random.default_rng(4)
    network.set_weights(
        [w + 0.05 * random.standard_normal(w.shape) * (w.ndim == 1) for w in network.get_weights()]
    )
    return network


@pytest.mark.parametrize("name", ["w.weights.h5", "m.keras", "m.h5"])
def test_kerass_classifier_comes_along_in_every_format(
    narrow: keras.Model, tmp_path: Path, name: str
) -> None:
    """fc6 sees the features in the order in which Keras flattens them."""
    if ".weights." in name:
        narrow.save_weights(tmp_path / name)
    else:
        narrow.save(tmp_path / name)
    network = VGG19(CLASSES, width_multiplier=TORCH_WIDTH)
    report = load_weights(str(tmp_path / name), network, skip=())
    assert len(report.loaded) == 38
    pixels = np.random.default_rng(5).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
    expected = narrow.predict(keras.applications.vgg19.preprocess_input(pixels.copy()), verbose=0)
    found = network.forward(ours(pixels), training=False).logits
    np.testing.assert_allclose(found, expected, atol=close_to(expected))


def test_weights_without_classifier_say_which_head_needs_none(
    narrow: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "notop.weights.h5"
    narrow.save_weights(path)
    with h5py.File(path, "a") as file:
        for layer in ("dense", "dense_1", "dense_2"):
            del file[f"layers/{layer}"]
    with pytest.raises(DataError, match="no fully connected layers, which --head=gap does"):
        load_weights(str(path), VGG19(CLASSES, width_multiplier=TORCH_WIDTH))


@pytest.mark.parametrize(
    ("name", "tolerance"), [("today", PADDING), ("2017", PADDING), ("script", HALF_PRECISION)]
)
def test_torchvisions_network_gives_the_same_logits(name: str, tolerance: float) -> None:
    """In today's format, in that of 2017 with its Parameters, and as training scripts nest it."""
    expected = np.load(TORCH / "expected.npz")
    pixels = expected["images"].repeat(32, 1).repeat(32, 2)
    network = VGG19(CLASSES, width_multiplier=TORCH_WIDTH)
    report = load_weights(str(TORCH / f"{name}.pth"), network, skip=())
    assert "torchvision's VGG19, its scaling of colours put into the first layer" in str(report)
    assert len(report.loaded) == 38
    found = network.forward(ours(pixels), training=False).logits
    np.testing.assert_allclose(found, expected["logits"], atol=tolerance)
    wrong = network.forward(ours(pixels[..., ::-1]), training=False).logits
    assert np.abs(wrong - expected["logits"]).max() > 0.1


def as_safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    header, data = {}, b""
    for name, tensor in tensors.items():
        place = [len(data), len(data) + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": place}
        data += tensor.tobytes()
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    return struct.pack("<Q", len(text)) + text + data


def torch_tensors() -> dict[str, np.ndarray]:
    """What today.pth holds, by torchvision's names."""
    from job.model import torch_file

    path = str(TORCH / "today.pth")
    with torch_file.open_zip(path, path) as weights:
        return {name: weights.read(name) for name in weights.shapes}


def test_safetensors_are_what_pytorch_holds(tmp_path: Path) -> None:
    (tmp_path / "vgg19.safetensors").write_bytes(as_safetensors(torch_tensors()))
    with (
        weight_file.opened(str(tmp_path / "vgg19.safetensors"), "vgg19.safetensors") as found,
        weight_file.opened(str(TORCH / "today.pth"), "today.pth") as expected,
    ):
        assert found.shapes == expected.shapes
        for name in expected.shapes:
            np.testing.assert_array_equal(found.read(name), expected.read(name))


def test_a_file_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    """A pickle is a program; this one would make a file."""
    made = tmp_path / "made"
    program = b"\x80\x02cos\nsystem\nq\x00X" + struct.pack("<I", len(f"touch {made}"))
    program += f"touch {made}".encode() + b"\x85R."
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", program)
    with pytest.raises(DataError, match=r"more than a dictionary of tensors \(os\.system\)"):
        load_weights(str(tmp_path / "evil.pth"), VGG19(CLASSES, width_multiplier=TORCH_WIDTH))
    assert not made.exists()


def test_a_whole_model_of_pytorch_says_how_to_save_it() -> None:
    with pytest.raises(DataError, match=r"torch\.nn\.modules\.linear\.Linear.*save_file"):
        load_weights(str(TORCH / "whole_model.pth"), VGG19(CLASSES, width_multiplier=TORCH_WIDTH))


def renamed(tensors: dict[str, np.ndarray], change: dict[str, str]) -> bytes:
    kept = {change.get(name, name): value for name, value in tensors.items()}
    return as_safetensors({name: value for name, value in kept.items() if name})


OTHERS = {
    "web page.ckpt": (b"<!DOCTYPE html><html>Sign in</html>", "is a web page"),
    "pointer.h5": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
    "vgg19.npy": (b"\x93NUMPY\x01\x00", "is a NumPy array"),
    "vgg19.onnx": (b"\x08\x07", "is an ONNX graph"),
    "frozen.pb": (b"\n\x06", "is a TensorFlow graph"),
    "empty.ckpt": (b"", "is empty"),
    "vgg_19.ckpt": (bytes(5_000), r"\(5,000 bytes\) is no checkpoint, .*\.data file .*\.index"),
    "other.zip": (b"PK\x03\x04", "zip file of neither Keras nor PyTorch"),
    "short.safetensors": (struct.pack("<Q", 99), "is damaged or cut short"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_file_is_instead_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    content, message = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        load_weights(str(tmp_path / name), VGG19(CLASSES, width_multiplier=TORCH_WIDTH))
    assert "\n" not in str(error.value)


def test_other_networks_are_named(tmp_path: Path) -> None:
    """VGG16 of slim, Keras and torchvision, batch normalisation, and something else."""
    network = VGG19(CLASSES, width_multiplier=TORCH_WIDTH)
    tensors = torch_tensors()
    sixteenth = {f"features.{number}.{part}": "" for number in (16, 25, 34) for part in
                 ("weight", "bias")}  # fmt: skip
    (tmp_path / "16.safetensors").write_bytes(renamed(tensors, sixteenth))
    with pytest.raises(DataError, match="is torchvision's VGG16; this network is VGG19"):
        load_weights(str(tmp_path / "16.safetensors"), network)
    normalised = tensors | {"features.1.running_mean": np.zeros(8, np.float32)}
    (tmp_path / "bn.safetensors").write_bytes(as_safetensors(normalised))
    with pytest.raises(DataError, match="has batch normalisation"):
        load_weights(str(tmp_path / "bn.safetensors"), network)
    (tmp_path / "resnet.safetensors").write_bytes(
        as_safetensors({"layer1.0.conv1.weight": np.zeros((8, 3, 3, 3), np.float32)})
    )
    with pytest.raises(DataError, match="is no VGG19: it holds layer1"):
        load_weights(str(tmp_path / "resnet.safetensors"), network)
    with h5py.File(tmp_path / "16.h5", "w") as file:
        for block, count in enumerate((2, 2, 3, 3, 3), 1):
            for number in range(1, count + 1):
                file[f"block{block}_conv{number}/kernel:0"] = np.zeros((3, 3, 8, 8))
    with pytest.raises(DataError, match="is Keras' VGG16"):
        load_weights(str(tmp_path / "16.h5"), network)
    save(tmp_path / "slim16.ckpt", ["vgg_16/conv1/conv1_1/weights", "global_step"])
    with pytest.raises(DataError, match="is a VGG16, and no vgg_19/"):
        load_weights(str(tmp_path / "slim16.ckpt"), network)
    save(tmp_path / "resnet.ckpt", ["resnet_v1_50/conv1/weights", "global_step"])
    with pytest.raises(DataError, match="holds global_step, resnet_v1_50, and no vgg_19/"):
        load_weights(str(tmp_path / "resnet.ckpt"), network)
    tf.train.Checkpoint(kernel=tf.Variable([1.0])).write(str(tmp_path / "objects"))
    with pytest.raises(DataError, match="is an object-based checkpoint of TensorFlow 2"):
        load_weights(str(tmp_path / "objects"), network)
    tf.saved_model.save(tf.Module(), str(tmp_path / "exported"))
    with pytest.raises(DataError, match="is a SavedModel"):
        load_weights(str(tmp_path / "exported"), network)


def save(prefix: Path, names: list[str]) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant([1.0])] * len(names),
    )


NARROW = VGG19(CLASSES, head="gap", width_multiplier=0.01, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint in TensorFlow's V2 format, with the graph that tf1 saves beside it."""
    made = tmp_path_factory.mktemp("slim")
    values = NARROW.variables_by_name
    tf.raw_ops.SaveV2(
        prefix=str(made / "model.ckpt-150"),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.identity(value) for value in values.values()],
    )
    (made / "model.ckpt-150.meta").write_bytes(b"\x00meta")
    (made / "graph.pbtxt").write_text("node {}")
    (made / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-150"\n')
    return made


def second(folder: Path, target: Path, name: str = "model.ckpt-100") -> Path:
    """Copy a folder, with another checkpoint in it."""
    shutil.copytree(folder, target)
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(target / f"model.ckpt-150.{ending}", target / f"{name}.{ending}")
    return target


@pytest.mark.parametrize("name", ["checkpoint", "model.ckpt-150.meta", "model.ckpt-150", ""])
def test_any_of_a_checkpoints_files_means_it(folder: Path, name: str) -> None:
    report = load_weights(str(folder / name), VGG19(CLASSES, head="gap", width_multiplier=0.01))
    assert len(report.loaded) == 32


@pytest.mark.parametrize(
    ("note", "name"),
    [
        (b'model_checkpoint_path: "C:\\\\train\\\\model.ckpt-150"\n', "model.ckpt-100"),
        (b'model_checkpoint_path: "/home/me/model.ckpt-150"\n', "model.ckpt-100"),
        (b'model_checkpoint_path: "mod\\303\\250le.ckpt-1"\n', "modèle.ckpt-1"),
    ],
    ids=["Windows", "another folder", "octal"],
)
def test_the_note_of_another_machine_is_understood(
    folder: Path, tmp_path: Path, note: bytes, name: str
) -> None:
    """It has that machine's folders, and protobuf's way to write letters."""
    two = second(folder, tmp_path / "two", name)
    (two / "checkpoint").write_bytes(note)
    load_weights(str(two), VGG19(CLASSES, head="gap", width_multiplier=0.01))


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe", b'model_checkpoint_path: "model\xff\xfe.ckpt-150"\n', b"x" * 99]
)
def test_a_damaged_note_is_not_believed(folder: Path, tmp_path: Path, note: bytes) -> None:
    two = second(folder, tmp_path / "two")
    (two / "checkpoint").write_bytes(note)
    with pytest.raises(ConfigError, match=r"holds 2 checkpoints.*ckpt-100, model\.ckpt-150"):
        load_weights(str(two), NARROW)


def test_values_without_their_names_are_told(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.ckpt-150.data-00000-of-00001", tmp_path)
    for path in (tmp_path, tmp_path / "model.ckpt-150.data-00000-of-00001"):
        with pytest.raises(InputMissingError, match=r"model\.ckpt-150\.index is missing"):
            load_weights(str(path), NARROW)


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_file_of_others_is_found_wherever_it_is(bucket: str, tmp_path: Path, where: str) -> None:
    shutil.copy(TORCH / "today.pth", tmp_path / "vgg19-dcbb9e9d.pth")
    path = str(tmp_path)
    if where == "bucket":
        path = f"{bucket}/weights/vgg19-dcbb9e9d.pth"
        storage.upload(str(tmp_path / "vgg19-dcbb9e9d.pth"), path)
    load_weights(path, VGG19(CLASSES, width_multiplier=TORCH_WIDTH))


@pytest.fixture(scope="module")
def whole_files(narrow: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "w.weights.h5"
    narrow.save_weights(path)
    torch = {name: (TORCH / name).read_bytes() for name in ("today.pth", "2017.pth")}
    return torch | {
        "w.h5": path.read_bytes(),
        "w.safetensors": as_safetensors(torch_tensors()),
    }


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_gives_tensors_or_one_error(
    whole_files: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    """Cut short anywhere, or with bytes altered anywhere."""
    name = data.draw(st.sampled_from(sorted(whole_files)))
    content = bytearray(whole_files[name])
    # Where formats keep their descriptions: at the beginning, at the end, and anywhere.
    places = st.integers(0, 4_000) | st.integers(len(content) - 6_000, len(content) - 1)
    for place in data.draw(st.lists(places | st.integers(0, len(content) - 1), max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.none() | st.integers(0, len(content)))
    path = tmp_path / name
    path.write_bytes(content[:cut])
    with (
        contextlib.suppress(DataError),
        weight_file.opened(str(path), name) as weights,
    ):
        for tensor in weights.shapes:
            assert weights.read(tensor).shape == weights.shapes[tensor]
