"""The wire format of `tf.train.Example`, for features that hold one value each.

Example{features: Features{feature: map<string, Feature{bytes_list | float_list | int64_list}}}}, as
tensorflow/core/example/{example,feature}.proto define it. Only what `job/dataset/tfrecord.py`
needs: reading accepts every valid encoding of one int64 or one bytes value and passes over the
rest.
"""

import functools
from collections.abc import Iterator, Mapping

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _INT64_LIST = 1, 3
_MAX_VARINT_BYTES = 10

Value = int | bytes


def encode_features(features: Mapping[str, Value]) -> bytes:
    """Serialise an Example; the features keep the order of the mapping."""
    parts = [part for name, value in features.items() for part in _entry(name, value)]
    # All parts are joined once, because one of them is an image.
    return b"".join((_key(1, sum(map(len, parts))), *parts))


def decode_features(serialized: bytes, *, partly: bool = False) -> dict[str, Value]:
    """Read the features of an Example that hold exactly one int64 or bytes value.

    With `partly`, damage ends the reading and what was read before it is returned.

    Raises:
        ValueError or IndexError: The bytes are not an Example.
    """
    found: dict[str, Value] = {}
    try:
        for number, features in _fields(serialized, partly=partly):
            if number == 1 and isinstance(features, bytes):
                for name, value in _entries(features, partly=partly):
                    found[name] = value  # noqa: PERF403 (keeps what came before the damage)
    except (ValueError, IndexError):
        if not partly:
            raise
    return found


def _entry(name: str, value: Value) -> tuple[bytes, ...]:
    """Encode map<string, Feature>'s entry, outermost part first."""
    kind, content = (
        (_BYTES_LIST, value) if isinstance(value, bytes) else (_INT64_LIST, _encode_varint(value))
    )
    text = name.encode()
    in_list = _key(1, len(content))
    in_feature = _key(kind, len(in_list) + len(content))
    in_entry = _key(2, len(in_feature) + len(in_list) + len(content))
    named = _key(1, len(text)) + text
    size = len(named) + len(in_entry) + len(in_feature) + len(in_list) + len(content)
    return _key(1, size), named, in_entry, in_feature, in_list, content


def _entries(features: bytes, *, partly: bool) -> Iterator[tuple[str, Value]]:
    for number, entry in _fields(features, partly=partly):
        if number != 1 or not isinstance(entry, bytes):
            continue
        parts = dict(_fields(entry))
        name, feature = parts.get(1, b""), parts.get(2, b"")
        if isinstance(name, bytes) and isinstance(feature, bytes):
            value = _decode_feature(feature)
            if value is not None:
                yield name.decode(), value


def _decode_feature(feature: bytes) -> Value | None:
    for kind, values in _fields(feature):
        if not isinstance(values, bytes):
            continue
        if kind == _BYTES_LIST:
            texts = [value for number, value in _fields(values) if number == 1]
            return texts[0] if len(texts) == 1 else None
        if kind == _INT64_LIST:
            numbers = list(_int64_values(values))
            return numbers[0] if len(numbers) == 1 else None
    return None


def _int64_values(values: bytes) -> Iterator[int]:
    """Yield the values of an Int64List, packed or not."""
    for number, value in _fields(values):
        if number != 1:
            continue
        if isinstance(value, int):
            yield _signed(value)
            continue
        position = 0
        while position < len(value):
            unsigned, position = _decode_varint(value, position)
            yield _signed(unsigned)


@functools.lru_cache(maxsize=4096)
def _key(number: int, size: int) -> bytes:
    """Encode what stands before a field of `size` bytes."""
    return _encode_varint(number << 3 | _LENGTH_DELIMITED) + _encode_varint(size)


def _fields(message: bytes, *, partly: bool = False) -> Iterator[tuple[int, Value]]:
    """Yield (number, value) of each field: an int for varints, bytes for the rest."""
    position = 0
    while position < len(message):
        key, position = _decode_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _decode_varint(message, position)
            yield number, value
            continue
        if wire_type == _LENGTH_DELIMITED:
            size, position = _decode_varint(message, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {position}")
        if position + size > len(message) and not partly:
            raise ValueError(f"a field of {size} bytes at byte {position} passes the end")
        yield number, message[position : position + size]
        position += size


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


def _decode_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for count in range(_MAX_VARINT_BYTES):
        byte = message[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + count + 1
    raise ValueError(f"a number at byte {position} does not end")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
