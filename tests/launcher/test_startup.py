"""What is imported when: a launcher that starts at once, and walls that stand."""

import subprocess
import sys

import pytest

HEAVY = (
    "tensorflow",
    "kubernetes",
    "rich",
    "google.cloud",
    "numpy",
    "grpc",
    "pyarrow",
    "matplotlib",
)
RENDER = (
    "['render', '--image=a/b:1', '--data=gs://bucket/d', '--run-root=gs://bucket/r', "
    "'--cache-size=4Gi', '--gpus=8']"
)


@pytest.mark.parametrize("argv", ["['--help']", RENDER, "['submit', '--help']"])
def test_start_up_imports_nothing_heavy(argv: str) -> None:
    """Help and render work without the libraries that only a cluster or a trainer needs."""
    code = (
        "import sys; from launcher.cli import main; "
        f"main({argv}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stderr.splitlines()[-1] == "[]"
