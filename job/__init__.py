"""What runs inside a container: records, training, evaluation, export and prediction.

The modules here are what a person or a pod types, `python -m job.train`: they parse and call. The
work is done in the rooms, the folders, which depend on each other downwards only: contract,
storage, process, images, dataset, making and run, model, distributed, evaluation, training,
serving, prediction, downloads (tests/test_walls.py). No module does anything when it is imported;
`job/process/startup.py` prepares a process.

This package never imports `launcher` or `kubernetes`. The launcher imports of it `contract`,
`storage` and a few pure modules, on machines without TensorFlow.
"""

__version__ = "0.1.0"
