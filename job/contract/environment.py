"""Environment variables by which the launcher tells a job's processes what only it knows."""

SUBMITTER = "SUBMITTED_BY"
"""The name, on their own machine, of who has submitted the job."""
