"""Sending a job that has been described, to whatever runs it."""

import dataclasses
import uuid

from launcher.api import kubeconfig
from launcher.context import Context
from launcher.describe import backend_choice
from launcher.describe.backend_choice import Choice
from launcher.describe.spec import JobSpec
from launcher.kinds import ClusterKind
from launcher.sending.options import SendOptions
from launcher.settings.fields import Settings


def has_cluster(options: SendOptions, context: Context) -> bool:
    """Whether there is a cluster to send to, or one to be assumed for a client's dry run."""
    if options.dry_run == "client":
        return True
    return kubeconfig.is_configured(context.settings.kubeconfig, context.environ)


def choose_backend(settings: Settings, options: SendOptions, context: Context) -> Choice:
    """Resolve the backend of a training job; what the cluster has installed matters.

    Raises:
        LauncherError: The cluster cannot be asked.
    """

    def serves(kind: ClusterKind) -> bool:
        return options.dry_run == "client" or context.cluster().serves(kind.resource)

    return backend_choice.for_training(
        settings, has_cluster=has_cluster(options, context), serves=serves
    )


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
