"""Is everything there that the job names: namespace, service account, secrets, image?"""

from collections.abc import Iterator
from typing import Any

from job.contract.wording import many
from launcher import kinds
from launcher.api import resources
from launcher.api.errors import KindMissingError
from launcher.checks.result import Result, Subject, failed, ok, warning
from launcher.errors import (
    ConflictError,
    DeniedError,
    LauncherError,
    UnreachableError,
    UsageError,
)
from launcher.manifests import names
from launcher.sending import image_tools, submission


def namespace(subject: Subject) -> Iterator[Result]:
    """The namespace is there and not on its way out."""
    name = subject.cluster.namespace
    found = subject.cluster.find(resources.NAMESPACES, name)
    if found is None:
        yield failed(f"namespace {name!r} does not exist", f"create it: launcher setup -n {name}")
    elif "deletionTimestamp" in found["metadata"]:
        yield failed(f"namespace {name!r} is being deleted", "use another: --namespace")
    else:
        level = (found["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
        yield ok(f"namespace {name!r}" + (f", Pod Security {level}" if level else ""))


def service_account(subject: Subject) -> Iterator[Result]:
    """Whom the pods are to storage."""
    name = subject.job.service_account if subject.job else "default"
    if not subject.cluster.exists(resources.SERVICE_ACCOUNTS, name):
        yield failed(
            f"service account {name!r} does not exist in namespace {subject.cluster.namespace!r}",
            "create it: launcher setup; or name another: --service-account",
        )
    elif name == "default" and subject.spec and subject.spec.output.startswith("gs://"):
        yield warning(
            "the job runs as the service account 'default', which seldom may use a bucket",
            "name one that may: --service-account (k8s/README.md, Workload Identity)",
        )
    else:
        yield ok(f"service account {name!r} is there")


def secrets(subject: Subject) -> Iterator[Result]:
    """The secrets of --secret-env and of the registry; only their names are looked at."""
    spec = subject.spec
    if spec is None:
        return
    needed = {reference.partition("/")[0]: "--secret-env" for reference in spec.secret_env.values()}
    if spec.image_pull_secret:
        needed[spec.image_pull_secret] = "--image-pull-secret"
    missing = [name for name in needed if not subject.cluster.exists(resources.SECRETS, name)]
    for name in missing:
        yield failed(
            f"secret {name!r} ({needed[name]}) does not exist in namespace {spec.namespace!r}",
            f"create it: kubectl create secret generic {name} --from-literal=KEY=…"
            if needed[name] == "--secret-env"
            else f"create it: kubectl create secret docker-registry {name} …",
        )
    if not missing:
        yield ok(f"secrets {', '.join(needed)} are there" if needed else "no secrets are needed")


def priority(subject: Subject) -> Iterator[Result]:
    """The priority class."""
    name = subject.spec.scheduling.priority if subject.spec else ""
    if not name:
        yield ok("no priority class is asked for")
    elif not subject.cluster.exists(resources.PRIORITY_CLASSES, name):
        yield failed(f"there is no priority class {name!r}", "see which there are: kubectl get pc")
    else:
        yield ok(f"priority class {name!r} is there")


def image(subject: Subject) -> Iterator[Result]:
    """The image's reference can be one, and will be the same image tomorrow."""
    if subject.spec is None:
        return
    reference = subject.spec.image
    try:
        names.check_image(reference)
    except UsageError as error:
        yield failed(str(error), "correct --image")
        return
    if subject.spec.gpus and _variant(reference) == "cpu":
        yield failed(
            f"image {reference!r} was built for CPUs, and the job asks for "
            f"{many(subject.spec.gpus, 'GPU')}: its workers would find none",
            "build the other: launcher image build --tensorflow gpu; or train on CPUs: --gpus 0",
        )
        return
    last = reference.rpartition("/")[2]
    if "@sha256:" in reference:
        yield ok("the image is named by its digest")
    elif ":" not in last or last.endswith(":latest"):
        yield warning(
            f"image {reference!r} can be another one at every restart",
            "name a version, or better its digest: NAME@sha256:…",
        )
    else:
        yield ok(f"image {reference!r} names a version")


def _variant(reference: str) -> str:
    return image_tools.variant_by_tag(reference) or image_tools.variant_by_label(reference)


def name(subject: Subject) -> Iterator[Result]:
    """The job's name is free, or taken by the very same job."""
    if subject.manifest is None or subject.spec is None:
        return
    try:
        there = submission.existing(subject.cluster, subject.manifest)
    except ConflictError as error:
        what, _, mend = str(error).partition("; choose ")
        yield failed(what, f"choose {mend}" if mend else "choose another --name")
        return
    if there is None:
        others = [kind.resource for kind in kinds.IN_CLUSTER if kind is not subject.kind]
        taken = [r.kind for r in others if subject.cluster.find(r, subject.spec.name)]
        if taken:
            yield failed(
                f"there is a {taken[0]} called {subject.spec.name!r} already",
                "choose another --name: the launcher's commands would not know which one is meant",
            )
            return
    state = "is there already with the same spec" if there else "is free"
    yield ok(f"the name {subject.spec.name!r} {state}")


def admission(subject: Subject) -> Iterator[Result]:
    """The server accepts the job and one of its pods: a dry run through every admission rule."""
    if subject.manifest is None or subject.job is None:
        return
    try:
        if subject.cluster.find(resources.of(subject.manifest), subject.job.name) is None:
            subject.cluster.create(subject.manifest, dry_run=True)
    except KindMissingError:
        return  # the check of the operator tells it
    except (DeniedError, UnreachableError):
        raise
    except LauncherError as error:
        yield failed(str(error), "change what the message names")
        return
    yield from _pod_admission(subject)


def _pod_admission(subject: Subject) -> Iterator[Result]:
    assert subject.manifest is not None
    pod = worker_pod(subject.manifest)
    try:
        subject.cluster.create(pod, dry_run=True)
    except DeniedError:
        yield ok("the server accepts the job (you may not try a pod)")
    except UnreachableError:
        raise
    except LauncherError as error:
        yield failed(f"its pods would be refused: {error}", "change what the message names")
    else:
        yield ok("the server accepts the job and its pods")


def worker_pod(manifest: dict[str, Any]) -> dict[str, Any]:
    """Make the pod that a job's controller would make first, to try it."""
    template = _template(manifest)
    metadata = manifest["metadata"]
    pod_name = {"generateName": f"{metadata['name']}-check-", "namespace": metadata["namespace"]}
    spec = {**template["spec"]}
    spec.setdefault("restartPolicy", "Never")
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {**template.get("metadata", {}), **pod_name}, "spec": spec,
    }  # fmt: skip


def _template(tree: Any) -> dict[str, Any]:
    """Find the innermost `template` that has containers."""
    if isinstance(tree, dict):
        spec = tree.get("spec")
        if isinstance(spec, dict) and "containers" in spec:
            return tree
        for value in tree.values():
            found = _template(value)
            if found:
                return found
    if isinstance(tree, list):
        for value in tree:
            found = _template(value)
            if found:
                return found
    return {}
