"""What workers tell of themselves, and who holds the others back."""

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.worker_report import WorkerReport, memory_peak_bytes, straggler


def reports(*busy_s: float) -> list[WorkerReport]:
    return [WorkerReport(busy_s=each) for each in busy_s]


def test_the_slowest_worker_is_named_with_what_the_others_lose():
    assert straggler(reports(0.5, 0.9, 0.5), step_s=1.0) == (1, pytest.approx(0.4))


def test_with_two_workers_the_faster_one_is_the_usual():
    assert straggler(reports(0.9, 0.5), step_s=1.0) == (0, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("busy_s", "step_s"),
    [((0.5,), 1.0), ((0.0, 0.0), 0.0), ((0.5, 0.6), 1.0), ((0.001, 0.002), 1.0)],
    ids=["alone", "unknown", "nearly-equal", "slow-but-short"],
)
def test_nobody_is_named_where_nobody_loses_much(busy_s, step_s):
    assert straggler(reports(*busy_s), step_s) is None


@given(st.lists(st.floats(0, 100), min_size=2, max_size=9), st.floats(100, 1000))
def test_whoever_is_named_is_the_slowest(busy_s, step_s):
    found = straggler(reports(*busy_s), step_s)
    assert found is None or busy_s[found[0]] == max(busy_s)


def test_memory_that_was_used_counts_although_it_is_free_again():
    block = np.ones(50_000_000, np.uint8)
    used = psutil.Process().memory_info().rss
    del block
    assert memory_peak_bytes() > used - 10_000_000  # The kernel counts pages in batches.
