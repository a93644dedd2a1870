"""What runs inside a container: records, training, evaluation, export and prediction.

This package never imports `launcher` or `kubernetes`. `config`, `flags`, `layout`, `errors`,
`exit_codes`, `vgg19_shapes` and `exchange_plan` need nothing but the standard library and absl,
so that the launcher can use them on a machine without TensorFlow.
"""

import os
import sys

from job.process import quiet_import
from job.process.stop_request import obey_as_first_process

if "KEEP_LOG_OF_WORKER" in os.environ:  # As a pod's manifest says.
    from job.supervise import take_over  # Here, since the launcher must start fast.

    take_over(os.environ.pop("KEEP_LOG_OF_WORKER"), sys.orig_argv)

# Now, since the seconds that it takes to import TensorFlow are part of a pod's life.
obey_as_first_process()

# TensorFlow reads these once, when it is imported: what it says about instruction sets and missing
# GPUs is nothing that a user of these commands can act on. A value that is set already counts.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# TensorFlow switches oneDNN off by itself on processors that have AVX2 only, where a training step
# of VGG19 takes a fifth less time with it (tests/benchmarks/train_step.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
quiet_import.install()

__version__ = "0.1.0"
