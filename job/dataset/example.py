"""The wire format of `tf.train.Example`, for features that hold one value each, without TensorFlow.

Example{features: Features{feature: map<string, Feature{bytes_list | float_list | int64_list}}}}, as
tensorflow/core/example/{example,feature}.proto define it. Reading is protobuf's, which accepts
every valid encoding. Writing is our own: equal examples give equal bytes under every version of
protobuf, with the features in the order given.
"""

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_LENGTH_DELIMITED = 2
_KINDS = {"bytes_list": 1, "float_list": 2, "int64_list": 3}
"""The kinds of lists, and their fields' numbers in Feature."""

Value = int | bytes


def encode_features(features: Mapping[str, Value]) -> bytes:
    """Serialise an Example; the features keep the order of the mapping."""
    parts = [part for name, value in features.items() for part in _entry(name, value)]
    # All parts are joined once, because one of them is an image.
    return b"".join((_key(1, sum(map(len, parts))), *parts))


def parse(serialized: bytes) -> Mapping[str, Any]:
    """Give the features of an Example by name, as protobuf's messages.

    Raises:
        google.protobuf.message.DecodeError: The bytes are not an Example.
    """
    features: Mapping[str, Any] = _message_class().FromString(serialized).features.feature
    return features


def decode_features(serialized: bytes) -> dict[str, Value]:
    """Read the features of an Example that hold exactly one int64 or bytes value.

    Raises:
        google.protobuf.message.DecodeError: The bytes are not an Example.
    """
    found: dict[str, Value] = {}
    for name, feature in parse(serialized).items():
        kind = feature.WhichOneof("kind")
        if kind in ("bytes_list", "int64_list"):
            values = getattr(feature, kind).value
            if len(values) == 1:
                found[name] = values[0]
    return found


@functools.cache
def _message_class() -> Any:
    """Describe Example to protobuf, apart from TensorFlow's own description of it."""
    field = descriptor_pb2.FieldDescriptorProto
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(
        name="food101/example.proto", package="food101", syntax="proto3"
    )
    values = {
        "bytes_list": field.TYPE_BYTES,
        "float_list": field.TYPE_FLOAT,
        "int64_list": field.TYPE_INT64,
    }
    for kind, value_type in values.items():
        file.message_type.add(name=kind).field.add(
            name="value", number=1, type=value_type, label=many
        )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for kind, number in _KINDS.items():
        feature.field.add(
            name=kind, number=number, type=field.TYPE_MESSAGE, type_name=f".food101.{kind}",
            label=one, oneof_index=0,
        )  # fmt: skip
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=one)
    entry.field.add(
        name="value", number=2, type=field.TYPE_MESSAGE, type_name=".food101.Feature", label=one
    )
    features.field.add(
        name="feature", number=1, type=field.TYPE_MESSAGE, label=many,
        type_name=".food101.Features.FeatureEntry",
    )  # fmt: skip
    file.message_type.add(name="Example").field.add(
        name="features", number=1, type=field.TYPE_MESSAGE, type_name=".food101.Features", label=one
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("food101.Example"))


def _entry(name: str, value: Value) -> tuple[bytes, ...]:
    """Encode map<string, Feature>'s entry, outermost part first."""
    kind, content = (
        (_KINDS["bytes_list"], value)
        if isinstance(value, bytes)
        else (_KINDS["int64_list"], _encode_varint(value))
    )
    text = name.encode()
    in_list = _key(1, len(content))
    in_feature = _key(kind, len(in_list) + len(content))
    in_entry = _key(2, len(in_feature) + len(in_list) + len(content))
    named = _key(1, len(text)) + text
    size = len(named) + len(in_entry) + len(in_feature) + len(in_list) + len(content)
    return _key(1, size), named, in_entry, in_feature, in_list, content


@functools.lru_cache(maxsize=4096)
def _key(number: int, size: int) -> bytes:
    """Encode what stands before a field of `size` bytes."""
    return _encode_varint(number << 3 | _LENGTH_DELIMITED) + _encode_varint(size)


def _encode_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
