"""Waiting for a condition, never for a time; what was seen is in the message when it fails."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def await_condition(
    what: str,
    look: Callable[[], Value],
    *,
    timeout_s: float,
    seen: Callable[[], object] = lambda: "",
    every_s: float = 0.1,
) -> Value:
    """Look again and again until what is seen is true, and give it.

    Args:
        what: The condition, for the message: "the node is ready".
        look: Gives something false until the condition holds. An AssertionError counts as false.
        timeout_s: Seconds after which to give up.
        seen: Asked once for the message, at the end.
        every_s: Seconds between two looks.

    Raises:
        TimeoutError: The condition does not hold.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            last = value = look()
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}; last seen: {last!r}\n{seen()}")
        time.sleep(every_s)
