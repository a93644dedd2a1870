"""What a command is given: settings, output and, once asked for, the cluster."""

import argparse
import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from launcher.output import Output

if TYPE_CHECKING:
    from launcher.api.connection import Cluster
    from launcher.settings.fields import Settings


class Context:
    """One invocation of the launcher. Everything is made when it is first asked for."""

    def __init__(
        self,
        args: argparse.Namespace,
        *,
        output: Output,
        environ: Mapping[str, str],
        stdin: TextIO,
    ) -> None:
        self._args = args
        self.output = output
        self.environ = environ
        self.stdin = stdin

    @functools.cached_property
    def settings(self) -> "Settings":
        """Defaults, the profile of launcher.yaml and the flags, merged in this order.

        From when they are first asked for, requests to buckets name their billing project.
        """
        from job import storage
        from launcher.settings import fields

        settings = fields.resolve(self._args, self.environ)
        if settings.billing_project:
            storage.configure(billing_project=settings.billing_project)
        return settings

    @functools.cached_property
    def namespace(self) -> str:
        """--namespace, else the profile's, else the kubeconfig context's, else `default`."""
        from launcher.api import kubeconfig
        from launcher.manifests import names

        chosen = (
            self.settings.namespace
            or kubeconfig.current_namespace(
                self.settings.kubeconfig, self.settings.context, self.environ
            )
            or "default"
        )
        names.check_namespace(chosen)
        return chosen

    @property
    def place(self) -> str:
        """Where jobs are sent, for a person: "in namespace team of context prod"."""
        from launcher.api import kubeconfig

        name = kubeconfig.current_context(
            self.settings.kubeconfig, self.settings.context, self.environ
        )
        return f"in namespace {self.namespace}" + (f" of context {name}" if name else "")

    def cluster(self) -> "Cluster":
        """The cluster of the settings; the first call imports the client and connects."""
        return self._cluster

    @functools.cached_property
    def _cluster(self) -> "Cluster":
        from launcher.api import connection, kubeconfig

        files = kubeconfig.paths(self.settings.kubeconfig, self.environ)
        for path in files:
            kubeconfig.check(path)
        return connection.connect(
            kubeconfig=os.pathsep.join(files) or None,
            context=self.settings.context or None,
            namespace=self.namespace,
        )
