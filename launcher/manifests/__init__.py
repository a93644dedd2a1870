"""JobSpec to YAML, and the words of Kubernetes' objects. Pure: no I/O, no clock."""
