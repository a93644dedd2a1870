"""A run directory: what it was started with, its state and its checkpoints."""
