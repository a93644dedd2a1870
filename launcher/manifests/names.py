"""What Kubernetes allows as names, and how long they may be.

A job's pods and services are named after it, and each of those names must fit into a DNS label.
A name that is too long makes a TFJob whose pods can never be created, so it is refused here.
"""

import re
from typing import TYPE_CHECKING

from job.contract.wording import many
from launcher.errors import UsageError

if TYPE_CHECKING:
    from launcher.kinds import Kind

DNS_LABEL_LENGTH = 63
_DNS_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_DNS_1123_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE = re.compile(r"[a-z0-9]+[A-Za-z0-9._/:-]*(@sha256:[a-f0-9]{64})?")


def longest_job_name(backend: "Kind", workers: int) -> int:
    """Say how long a job's name may be so that its pods' and hosts' names still fit."""
    return DNS_LABEL_LENGTH - len(backend.pod_suffix(max(workers - 1, 0)))


def check_job_name(name: str, backend: "Kind", workers: int) -> None:
    """Check a job's name: DNS-1035 (it becomes a Service's), and short enough for its pods.

    Raises:
        UsageError: What is wrong, and a name that would do.
    """
    longest = longest_job_name(backend, workers)
    if not _DNS_1035.fullmatch(name):
        raise UsageError(
            f"name {name!r} must start with a letter and hold only lower case letters, digits and "
            f"dashes; try {suggest(name, longest)!r}"
        )
    if len(name) > longest:
        raise UsageError(
            f"name {name!r} has {len(name)} characters; a {backend.name} of "
            f"{many(workers, 'worker')} may have {longest}, or its pods' names get too long; "
            f"try {suggest(name, longest)!r}"
        )


def suggest(name: str, longest: int) -> str:
    """Turn any text into a name that passes `check_job_name`."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not cleaned[:1].isalpha():
        cleaned = f"job-{cleaned}"
    return cleaned[:longest].rstrip("-")


def check_object_name(name: str, what: str) -> None:
    """Check the name of any other object (secret, service account, queue, priority class).

    Raises:
        UsageError: It is not a DNS-1123 subdomain.
    """
    if not _DNS_1123_SUBDOMAIN.fullmatch(name) or len(name) > 253 or ".." in name:
        raise UsageError(
            f"{what} {name!r} must hold only lower case letters, digits, dashes and dots"
        )


def check_namespace(name: str) -> None:
    """Check a namespace's name.

    Raises:
        UsageError: It is not a DNS label.
    """
    check_object_name(name, "namespace")
    if len(name) > DNS_LABEL_LENGTH or "." in name:
        raise UsageError(f"namespace {name!r} must have at most 63 characters and no dots")


def check_key(key: str, what: str) -> None:
    """Check the key of a label, an annotation or a taint: [domain/]name.

    Raises:
        UsageError: It is not a qualified name.
    """
    domain, slash, name = key.rpartition("/")
    valid_domain = not slash or (
        _DNS_1123_SUBDOMAIN.fullmatch(domain) and len(domain) <= 253 and ".." not in domain
    )
    if not valid_domain or not _LABEL_NAME.fullmatch(name) or len(name) > DNS_LABEL_LENGTH:
        raise UsageError(f"{what} {key!r} must look like name or example.com/name")


def check_label_value(key: str, value: str, what: str) -> None:
    """Check a label's value.

    Raises:
        UsageError: It is longer than 63 characters or holds others than letters, digits, -_. .
    """
    if not _LABEL_VALUE.fullmatch(value) or len(value) > DNS_LABEL_LENGTH:
        raise UsageError(
            f"{what} {key}: value {value!r} may have 63 letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit"
        )


def check_env_name(name: str, reserved: tuple[str, ...]) -> None:
    """Check the name of an environment variable.

    Raises:
        UsageError: It is not a C identifier, or one that the job itself relies on.
    """
    if not _ENV_NAME.fullmatch(name):
        raise UsageError(f"env {name!r} must be letters, digits and '_', not starting with a digit")
    if name in reserved:
        raise UsageError(f"env {name} is set by the launcher or the cluster and cannot be replaced")


def check_image(image: str) -> None:
    """Check the syntax of an image reference.

    Raises:
        UsageError: It is empty or cannot be an image.
    """
    if not image:
        raise UsageError(
            "no image: give --image, or put it into launcher.yaml (`launcher init`, "
            "`launcher image build` makes one)"
        )
    if not _IMAGE.fullmatch(image) or "//" in image or len(image) > 500:
        raise UsageError(
            f"image {image!r} is not an image reference such as registry.example/team/food101:0.1.0"
        )
