"""What could go wrong with a job, looked at before it does; one file per corner of a cluster.

Every check takes a Subject and yields Results; `launcher/checks/preflight.py` runs them all at
once.
"""
