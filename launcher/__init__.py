"""What runs on a person's machine: settings, manifests, and everything done with a cluster.

This package never imports TensorFlow. Only `launcher/api/connection.py` imports `kubernetes`, and
only when a command asks for a cluster. From `job` it uses nothing but `config`, `flags`, `layout`,
`errors`, `exit_codes`, `exchange_plan`, `vgg19_shapes` and `storage`'s names: standard library and
absl.
"""

__version__ = "0.1.0"
