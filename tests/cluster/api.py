"""A cluster as its administrator's kubectl sees it."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.build import KUBERNETES
from tests.cluster.waiting import await_condition


class KubectlError(Exception):
    """kubectl failed; the message has what it said."""


@dataclass(frozen=True)
class Cluster:
    """Any cluster: one of the tests' own, or the one that KUBECONFIG names."""

    kubeconfig: Path

    def kubectl(self, *arguments: str | Path, stdin: str = "", check: bool = True) -> str:
        """Run kubectl as administrator and give what it prints.

        Raises:
            KubectlError: It failed.
        """
        ended = subprocess.run(
            [_kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            env=os.environ | {"NO_PROXY": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
        if check and ended.returncode:
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: {ended.stderr.strip()}")
        return ended.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Give what `kubectl get` finds, as data.

        Raises:
            KubectlError: There is no such object.
        """
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def list(self, *arguments: str) -> list[dict[str, Any]]:
        """Give the objects that `kubectl get` finds; none if there are none."""
        items: list[dict[str, Any]] = self.get(*arguments)["items"]
        return items

    def condition(self, *what: str, kind: str) -> str:
        """Give the status of a condition of an object; nothing if either is not there."""
        text = self.kubectl("get", *what, "-o", "json", check=False)
        found = json.loads(text).get("status", {}).get("conditions") or [] if text else []
        return next((each["status"] for each in found if each["type"] == kind), "")

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def create_namespace(self, name: str) -> None:
        """Make a namespace and wait for the service account that its pods run as."""
        self.kubectl("create", "namespace", name)
        await_condition(
            f"namespace {name} has its service account",
            lambda: self.kubectl("get", "serviceaccount", "default", "-n", name, check=False),
            timeout_s=120,
        )


def _kubectl() -> str:
    built = KUBERNETES.program("kubectl")
    return str(built) if built.exists() else shutil.which("kubectl") or "kubectl"
