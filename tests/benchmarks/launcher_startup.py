"""How long the launcher takes to start, beside kubectl and its peers where they are installed.

    python tests/benchmarks/launcher_startup.py [--rounds 15]

All programs run in turn, round after round, so that a busy machine slows all of them alike; the
medians are compared. Peers that are not installed are named and left out. Target: `--help` and
`render` below 0.35 s on 2 cores.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time

TARGET_S = 0.35
_RENDER = [
    "render", "--gpus=8", "--image=registry.example/food101:1", "--data=gs://my-bucket/food101",
    "--run-root=gs://my-bucket/runs", "--cache-size=8Gi",
]  # fmt: skip
OURS = {
    "launcher --help": [sys.executable, "-m", "launcher", "--help"],
    "launcher render": [sys.executable, "-m", "launcher", *_RENDER],
    "launcher submit --help": [sys.executable, "-m", "launcher", "submit", "--help"],
}
REFERENCE = {"python -c pass": [sys.executable, "-c", "pass"]}


def peers() -> dict[str, list[str] | None]:
    """Name the peers' commands; None for what is not installed here."""
    kubectl = shutil.which("kubectl")
    kubeflow = "import kubeflow.trainer; kubeflow.trainer.TrainerClient"
    return {
        "kubectl version --client": [kubectl, "version", "--client"] if kubectl else None,
        "torchx --help": _program("torchx", "--help"),
        "sky --help": _program("sky", "--help"),
        "kubeflow (import the SDK)": _python("KUBEFLOW_PYTHON", kubeflow),
    }


def _program(name: str, *args: str) -> list[str] | None:
    folder = os.environ.get("PEERS_BIN", "")
    path = shutil.which(name, path=os.pathsep.join([folder, os.environ.get("PATH", "")]))
    return [path, *args] if path else None


def _python(variable: str, code: str) -> list[str] | None:
    python = os.environ.get(variable) or _peers_python()
    if not python:
        return None
    command = [python, "-c", code]
    works = subprocess.run(command, capture_output=True, check=False).returncode == 0
    return command if works else None


def _peers_python() -> str:
    path = os.path.join(os.environ.get("PEERS_BIN", ""), "python")
    return path if os.path.isabs(path) and os.path.exists(path) else sys.executable


def seconds(command: list[str]) -> float:
    """Run a command once and give its wall time."""
    # Users have bytecode, whatever the environment of this benchmark says.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environ)
    return time.perf_counter() - start


def main() -> int:
    """Measure, print a table and say whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    found = peers()
    commands = REFERENCE | OURS | {name: command for name, command in found.items() if command}
    for command in commands.values():
        seconds(command)  # warms the disk cache and the bytecode
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["launcher --help"]
    print(f"{'command':<28}{'median':>9}{'best':>9}{'x launcher --help':>20}")
    for name, values in times.items():
        print(f"{name:<28}{medians[name]:>8.3f}s{min(values):>8.3f}s{medians[name] / base:>19.1f}x")
    for name, command in found.items():
        if command is None:
            print(f"{name:<28} not installed here")
    worst = max(medians[name] for name in OURS)
    verdict = "met" if worst < TARGET_S else "MISSED"
    print(f"slowest of ours {worst:.3f} s, target {TARGET_S} s: {verdict}")
    return 0 if worst < TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
