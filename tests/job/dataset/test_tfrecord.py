"""Examples and shards: TensorFlow agrees with us, and damage is found and named."""

from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract.errors import DataError, InputMissingError
from job.dataset.example import encode_features
from job.dataset.tfrecord import (
    FEATURES,
    ImageExample,
    ShardReader,
    ShardWriter,
    decode_example,
    encode_example,
    source_of,
)

examples = st.builds(
    ImageExample,
    encoded=st.binary(max_size=400),
    height=st.integers(0, 2**40),
    width=st.integers(0, 2**31),
    label=st.integers(-(2**63), 2**63 - 1),
    class_text=st.text(max_size=20),
    filename=st.text(max_size=40),
    source_id=st.text(max_size=40),
)


def write_shard(path: Path, records: list[bytes]) -> ShardWriter:
    with ShardWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return writer


def example(number: int) -> ImageExample:
    return ImageExample(bytes([number]) * 50, 5, 6, number, "pie", f"{number}.jpg", f"pie/{number}")


@settings(deadline=None, max_examples=40)
@given(examples)
def test_an_example_survives_encoding_and_decoding(one: ImageExample) -> None:
    assert decode_example(encode_example(one)) == one


@settings(deadline=None, max_examples=40)
@given(examples)
def test_tensorflow_reads_what_is_encoded_here(one: ImageExample) -> None:
    """The protobuf class and the graph's parser both see every field."""
    serialized = encode_example(one)
    features = tf.train.Example.FromString(serialized).features.feature
    assert set(features) == set(FEATURES)
    assert features["image/class/label"].int64_list.value == [one.label]
    types = {int: tf.int64, bytes: tf.string}
    parsed = tf.io.parse_single_example(
        serialized,
        {name: tf.io.FixedLenFeature([], types[kind]) for name, kind in FEATURES.items()},
    )
    assert parsed["image/encoded"].numpy() == one.encoded
    assert parsed["image/height"].numpy() == one.height
    assert parsed["image/source_id"].numpy().decode() == one.source_id


@settings(deadline=None, max_examples=40)
@given(examples)
def test_what_tensorflow_encodes_is_read_here(one: ImageExample) -> None:
    """Another writer orders the features as it likes and may add some."""
    message = tf.train.Example.FromString(encode_example(one))
    message.features.feature["image/format"].bytes_list.value.append(b"jpeg")
    message.features.feature["image/score"].float_list.value.append(0.5)
    assert decode_example(message.SerializeToString()) == one


def test_an_example_without_a_feature_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="image/height"):
        decode_example(encode_features({"image/encoded": b""}))


def test_a_feature_of_another_type_counts_as_missing() -> None:
    """A number for the image would be as many zero bytes."""
    whole = encode_example(example(1))
    message = tf.train.Example.FromString(whole)
    message.features.feature["image/encoded"].int64_list.value.append(1 << 40)
    with pytest.raises(DataError, match="image/encoded"):
        decode_example(message.SerializeToString())


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=200))
def test_random_bytes_never_do_more_than_raise(data: bytes) -> None:
    source_of(data)
    with pytest.raises(DataError):
        decode_example(data)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=60), max_size=30))
def test_a_shard_gives_back_its_records_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("shard") / "a.tfrecord"
    writer = write_shard(path, records)
    assert (writer.records, writer.bytes) == (len(records), path.stat().st_size)
    reader = ShardReader(str(path))
    assert len(reader) == len(records)
    for index in reversed(range(len(records))):
        assert reader.read(index) == records[index]
    assert list(reader) == records


def test_tensorflow_reads_a_shard_written_here_and_the_other_way_round(tmp_path: Path) -> None:
    records = [encode_example(example(number)) for number in range(5)]
    write_shard(tmp_path / "ours", records)
    assert list(tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()) == records
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_the_source_is_read_from_the_beginning_of_a_record(cut: int) -> None:
    """Protobuf refuses a message that is cut anywhere."""
    assert source_of(encode_example(example(7))[:-cut]) == "pie/7"
    assert source_of(encode_example(example(7))[cut:]) in ("pie/7", "unknown")


def test_a_damaged_record_names_shard_index_and_source(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.tfrecord"
    write_shard(path, [encode_example(example(number)) for number in range(3)])
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF
    path.write_bytes(content)
    reader = ShardReader(str(path))
    reader.read(1)
    with pytest.raises(DataError, match=r"train-00000-of-00001.*record 2 \(source pie/2\)"):
        reader.read(2)


@settings(deadline=None, max_examples=40)
@given(cut=st.integers(1, 300))
def test_a_shard_cut_short_is_refused_when_opened(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("shard") / "a.tfrecord"
    write_shard(path, [encode_example(example(number)) for number in range(3)])
    content = path.read_bytes()
    record = len(content) // 3
    path.write_bytes(content[:-cut])
    if cut % record == 0:
        assert len(ShardReader(str(path))) == 3 - cut // record
    else:
        with pytest.raises(DataError, match="ends within record"):
            ShardReader(str(path))


def test_a_damaged_header_is_refused_when_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_shard(path, [b"abc"])
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="header of record 0"):
        ShardReader(str(path))


def test_a_shard_that_is_not_there_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="does not exist"):
        ShardReader(str(tmp_path / "none"))
