"""A process that was given fewer GPUs than it asked for says so, with the likeliest cause."""

from dataclasses import replace

import pytest

from job.contract.errors import ConfigError
from job.distributed.devices import Surroundings, check_gpus

WHOLE = Surroundings(
    tensorflow="2.21.0", built_for_gpus=True, library_path="/usr/local/nvidia/lib64",
    driver_loads=True, device_files=8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("around", "seen", "says"),
    [
        (replace(WHOLE, built_for_gpus=False), 0, "of this image is built for CPUs"),
        (
            replace(WHOLE, driver_loads=False, device_files=0), 0,
            "libcuda.so.1 is neither in /usr/local/nvidia/lib64 nor in the system's folders",
        ),
        (replace(WHOLE, device_files=1), 1, "the device plugin gave this pod no more"),
        (WHOLE, 0, "CUDA libraries are missing or newer than the driver"),
    ],
)  # fmt: skip
def test_fewer_gpus_than_asked_for_end_with_the_cause(
    around: Surroundings, seen: int, says: str
) -> None:
    with pytest.raises(ConfigError, match=f"sees {seen} of the 8 GPUs") as refused:
        check_gpus(8, seen, lambda: around)
    assert says in str(refused.value)


def test_as_many_as_asked_for_or_more_are_well_and_nothing_is_looked_at() -> None:
    for asked, seen in ((0, 0), (0, 4), (8, 8), (1, 8)):
        check_gpus(asked, seen, lambda: pytest.fail("looked"))
