"""What runs inside a container: records, training, evaluation, export and prediction.

This package never imports `launcher` or `kubernetes`. `config`, `flags`, `layout`, `errors`,
`exit_codes`, `vgg19_shapes` and `exchange_plan` need nothing but the standard library and absl,
so that the launcher can use them on a machine without TensorFlow.
"""

__version__ = "0.1.0"
