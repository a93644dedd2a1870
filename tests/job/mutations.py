"""Damaged forms of a valid JSON document: what a crash, another version or a stranger leaves."""

import json
import random
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    2**63,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "../../escape",
    "/etc/passwd",
    "..",
    "a\x00b",
    "\x1b[2J",
    "\ud800",
    [],
    [[]],
    {},
    {"a": {"b": []}},
)
RAW_VALUES = (
    b"[" * 3000 + b"]" * 3000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"9" * 6000,
    b"-1e999",
    b'"\\ud800"',
    b'"\xff\xfe"',
    b"NaN",
)
"""What json.dumps does not write."""
_MARK = "\u2063mark\u2063"


def mutations(document: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` damaged forms of a document, the same ones for a seed."""
    choose = random.Random(seed)
    for _ in range(count):
        yield mutation(document, choose)


def mutation(document: bytes, choose: random.Random) -> bytes:
    """Damage one place of a document: a value, a key, or its bytes."""
    kind = choose.randrange(8)
    if kind == 0:
        return _damaged_bytes(document, choose)
    value = json.loads(document)
    places = list(_places(value))
    if not places:
        return choose.choice(RAW_VALUES)
    holder, key = choose.choice(places)
    if kind == 1:
        del holder[key]
    elif kind == 2 and isinstance(holder, dict):
        odd = choose.choice([odd for odd in ODD_VALUES if isinstance(odd, str)])
        holder[odd] = holder.pop(key)
    elif kind == 3:
        holder[key] = _MARK
        raw = choose.choice(RAW_VALUES)
        return json.dumps(value).encode().replace(json.dumps(_MARK).encode(), raw)
    elif kind == 4:
        other, other_key = choose.choice(places)
        holder[key] = json.loads(json.dumps(other[other_key]))
    else:
        holder[key] = choose.choice(ODD_VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container with every key or index in it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _damaged_bytes(document: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(document) + 1)
    return choose.choice(
        [
            document[:at],
            document[at:],
            document[:at] + bytes([choose.randrange(256)]) + document[at + 1 :],
            document[:at] + document,
            choose.choice(RAW_VALUES),
            b"",
        ]
    )
