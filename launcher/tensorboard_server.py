"""TensorBoard that reads buckets as the person who starts it, whether TensorFlow is there or not.

    python -m launcher.tensorboard_server --logdir=gs://bucket/runs

Where TensorFlow is installed, TensorBoard would read with TensorFlow's own filesystem, which knows
neither federated credentials nor another endpoint. Without it, it reads through fsspec and gcsfs.
"""

import os
import sys
import types


def main() -> None:
    """Serve what the command line says until a signal comes."""
    # Its own switch for doing without TensorFlow: a module of this name that can be imported.
    name = "tensorboard.compat.notf"
    sys.modules[name] = types.ModuleType(name)
    # gcsfs would ask for every bucket's layout, which takes a permission that reading does not.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from tensorboard.main import run_main

    run_main()


if __name__ == "__main__":
    main()
