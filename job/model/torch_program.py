"""What PyTorch's file says of its tensors, without unpickling it.

`torch.save` writes a pickle, which is a program that can call anything. Here its instructions are
only listed (`pickletools` executes nothing), and the few of which a dictionary of tensors consists
are followed; any other ends the reading.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from job.model.weights import Shape

_MOST_STEPS = 1_000_000
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_LITERALS = frozenset(
    {
        "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
        "BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING",
    }
)  # fmt: skip
_TENSORS = {
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
}
_WRAPPERS = {
    "torch._utils _rebuild_parameter",
    "torch.nn.parameter Parameter",
    "torch.autograd.variable Variable",
}
"""What makes a parameter of a tensor, its first argument."""


class NotUnderstoodError(Exception):
    """The file does something else than describe a dictionary of tensors."""


class Name(NamedTuple):
    """A function or class that the program speaks of: "module name"."""

    text: str


class Storage(NamedTuple):
    """A row of numbers in the file, by its key there."""

    numbers: str  # as "FloatStorage"
    key: str
    length: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a view of a storage, rows first."""

    storage: Storage
    offset: int
    shape: Shape


def follow(stream: BinaryIO) -> Any:
    """Follow one program from where the stream stands to its end; its result is returned.

    Raises:
        NotUnderstoodError: It is more than a description of tensors; the message names what.
        ValueError: It is no such program.
    """
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number > _MOST_STEPS:
            raise NotUnderstoodError(f"more than {_MOST_STEPS:,} instructions")
        if opcode.name == "STOP":
            return machine.stack[-1]
        try:
            machine.step(opcode.name, argument)
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"instruction {number} ({opcode.name}) has no ground") from error
    raise ValueError("it does not end")


class _Machine:
    """The stack and the memory of a program."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name not in ("PROTO", "FRAME"):
            self._work(name, argument)

    def _work(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "MARK":
                self._marks.append(len(stack))
            case "GLOBAL":
                stack.append(Name(argument))
            case "BINPUT" | "LONG_BINPUT" | "PUT" | "MEMOIZE":
                self._memory[len(self._memory) if argument is None else int(argument)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self._memory[int(argument)])
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "BUILD":
                stack.pop()  # Hooks and versions, which say nothing of the tensors.
            case "STACK_GLOBAL" | "REDUCE" | "NEWOBJ":
                self._combine(name)
            case _:
                self._collect(name)

    def _combine(self, name: str) -> None:
        second, first = self.stack.pop(), self.stack.pop()
        self.stack.append(
            Name(f"{first} {second}") if name == "STACK_GLOBAL" else _made(first, second)
        )

    def _collect(self, name: str) -> None:
        stack = self.stack
        match name:
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = self._since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = self._since_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case _:
                raise NotUnderstoodError(f"the instruction {name}")

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items


def _made(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Give what a call would make, for the few that describe tensors."""
    name = function.text if isinstance(function, Name) else "something nameless"
    if name == "collections OrderedDict":
        return dict(arguments[0]) if arguments else {}
    if name in _TENSORS:
        return _tensor(*arguments[:4])
    if name in _WRAPPERS and isinstance(arguments[0], StoredTensor):
        return arguments[0]
    raise NotUnderstoodError(name.replace(" ", "."))


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise NotUnderstoodError("a tensor without storage")
    sizes = tuple(int(size) for size in shape)
    expected, step = [], 1
    for size in reversed(sizes):
        expected.append(step)
        step *= size
    if tuple(stride) != tuple(reversed(expected)):
        raise NotUnderstoodError("a tensor whose rows do not follow each other")
    if min(sizes, default=0) < 0 or offset < 0 or offset + step > storage.length:
        raise ValueError("a tensor lies outside its storage")
    return StoredTensor(storage, int(offset), sizes)


def _storage(description: Any) -> Storage:
    kind, numbers, key, _, count = description[:5]
    if kind != "storage" or not isinstance(numbers, Name):
        raise NotUnderstoodError("something kept outside")
    return Storage(numbers.text.rpartition(" ")[2], str(key), int(count))
