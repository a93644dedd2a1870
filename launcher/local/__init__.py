"""The local backend: a job as processes of this machine."""
