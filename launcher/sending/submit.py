"""Sending a job that has been described, to whatever runs it."""

import dataclasses
import uuid

from launcher.api import kubeconfig
from launcher.context import Context
from launcher.describe.spec import JobSpec
from launcher.sending.options import SendOptions


def has_cluster(options: SendOptions, context: Context) -> bool:
    """Whether there is a cluster to send to, or one to be assumed for a client's dry run."""
    if options.dry_run == "client":
        return True
    return kubeconfig.is_configured(context.settings.kubeconfig, context.environ)


def submit(spec: JobSpec, options: SendOptions, context: Context) -> int:
    """Send a job to its cluster, or run it here; gives the exit code."""
    if options.dry_run != "client":
        provenance = dataclasses.replace(spec.provenance, submission=uuid.uuid4().hex[:16])
        spec = dataclasses.replace(spec, provenance=provenance)
    if spec.in_cluster:
        from launcher.sending import to_cluster

        return to_cluster.submit(spec, options, context)
    from launcher.local import backend

    return backend.submit(spec, options, context)
