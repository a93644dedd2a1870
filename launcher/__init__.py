"""What runs on a person's machine: settings, manifests, and everything done with a cluster.

This package never imports TensorFlow. Only `launcher/api/connection.py` imports `kubernetes`, and
only when a command asks for a cluster. Of `job` it uses `contract`, `storage` and the few pure
modules that tests/test_walls.py names.
"""

__version__ = "0.1.0"
