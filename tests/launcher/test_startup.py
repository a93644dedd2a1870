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


def test_the_launcher_never_imports_tensorflow_and_the_job_never_the_launcher() -> None:
    """Read from the sources, so that lazy imports count too."""
    import ast
    from pathlib import Path

    root = Path(__file__).parents[2]

    def imported(path: Path) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
        return found

    for path in (root / "launcher").rglob("*.py"):
        assert "tensorflow" not in imported(path), path
        assert "kubernetes" not in imported(path) or path.name == "connection.py", path
    for path in (root / "job").rglob("*.py"):
        assert not {"launcher", "kubernetes", "k8s"} & imported(path), path
    for path in (root / "k8s").rglob("*.py"):
        assert imported(path) <= {"os"}, path
