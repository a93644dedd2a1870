"""What a job's processes are told from outside: environment variables, and where they meet."""

SUBMITTER = "SUBMITTED_BY"
"""The name, on their own machine, of who has submitted the job."""

GPUS_PER_WORKER = "GPUS_PER_WORKER"
"""How many GPUs each worker asked for; it is not set where none were."""

WORKER_PORT = 2222
"""Where workers listen for each other, as the training operator and the manifests have it."""

MAX_RESTARTS = "MAX_RESTARTS"
"""How often a job may start again, where its controller does not count."""
MAX_DURATION_S = "MAX_DURATION_S"
"""How long a job may run from its first start, in seconds, where its controller forgets it."""

NOTIFY_URL = "NOTIFY_URL"
"""Where to tell that a run has ended; part of it may be a secret."""
