"""Names of the labels and annotations that the launcher writes and reads.

Every object and every pod carries JOB, so that one selector finds a job's pods whatever
controller made them: `food101/job=<name>`.
"""

DOMAIN = "food101"
LAUNCHER = "food101-launcher"

# Labels
JOB = f"{DOMAIN}/job"
RUN_ID = f"{DOMAIN}/run-id"
CONFIG_HASH = f"{DOMAIN}/config-hash"
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
VERSION = "app.kubernetes.io/version"
QUEUE = "kueue.x-k8s.io/queue-name"
WORKLOAD_OF = "kueue.x-k8s.io/job-uid"
"""By which Kueue marks its Workload with the uid of the object that it is for."""
QUEUE_PRIORITY = "kueue.x-k8s.io/priority-class"

# Annotations
RUN = f"{DOMAIN}/run"
"""The run directory (predictions or dataset directory for other kinds)."""
GIT_REVISION = f"{DOMAIN}/git-revision"
SPEC_HASH = f"{DOMAIN}/spec-hash"
"""JobSpec.fingerprint: the same hash is the same job."""
SETTINGS = f"{DOMAIN}/settings"
"""JSON of the settings that made the job, for `resume`; secrets are only named in it."""
CANCELLED = f"{DOMAIN}/cancelled"
"""When `launcher cancel` stopped the job for good."""

# Pods
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
REQUIRED_TOPOLOGY = "kueue.x-k8s.io/podset-required-topology"
PREFERRED_TOPOLOGY = "kueue.x-k8s.io/podset-preferred-topology"
NO_SIDECAR = "sidecar.istio.io/inject"
RESTART_ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"

# Nodes
GPU = "nvidia.com/gpu"
ACCELERATOR = "cloud.google.com/gke-accelerator"
SPOT = "cloud.google.com/gke-spot"
ZONE = "topology.kubernetes.io/zone"

WRITTEN = (JOB, RUN_ID, CONFIG_HASH, NAME, COMPONENT, MANAGED_BY, VERSION, QUEUE, QUEUE_PRIORITY)
"""Labels that a user cannot give another meaning."""
