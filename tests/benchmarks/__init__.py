"""Measurements; each runs as `python -m tests.benchmarks.NAME`, prepared as any command is."""

from job.process import startup

startup.prepare()  # Before TensorFlow is imported: its arithmetic is that of the commands.
