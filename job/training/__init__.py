"""The training loop and what it writes: steps, schedule, curves, checkpoints."""
