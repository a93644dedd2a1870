"""What the launcher and the job must agree on: settings, flags, names in storage, exit codes.

Standard library and absl only, and nothing else of this package: `launcher` imports it on machines
without TensorFlow.
"""
