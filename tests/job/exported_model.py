"""A small exported model for tests of prediction; its weights are random, its images tiny."""

from pathlib import Path

from job.contract.configs import ExportConfig
from job.serving.exporter import export
from tests.job.trained_run import make_dataset, make_run


def make_model(folder: Path, precision: str = "float32") -> str:
    """Export a narrow network for 32 px images."""
    dataset = make_dataset(folder / "dataset", (4,))
    run = make_run(folder / "run", dataset, (10,))
    output = str(folder / f"model-{precision}")
    export(ExportConfig(run=run, output=output, precision=precision))
    return output
