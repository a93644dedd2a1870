"""Can the cluster be reached, what may you do there, and does its clock agree with yours?"""

import time
from collections.abc import Iterator

from launcher.api import resources
from launcher.api.daemon import start
from launcher.checks.result import Result, Subject, failed, ok, unknown, warning
from launcher.errors import LauncherError

_SKEW_S = 60.0
_OLDEST_MINOR = 27


def cluster(subject: Subject) -> Iterator[Result]:
    """The API server answers, and is not too old for the launcher."""
    try:
        version = subject.cluster.version()
    except LauncherError as error:
        yield failed(str(error), "without a cluster, --backend local runs on this machine")
        return
    minor = version.split(".")[1] if version.count(".") >= 1 else ""
    if minor.isdigit() and int(minor) < _OLDEST_MINOR:
        yield warning(
            f"Kubernetes {version} is older than v1.{_OLDEST_MINOR}",
            "have it upgraded: failure policies of jobs work differently before",
        )
    else:
        yield ok(f"Kubernetes {version} at {subject.cluster.server}")


def clock(subject: Subject) -> Iterator[Result]:
    """Storage refuses signed requests of a machine whose clock is wrong."""
    theirs = subject.cluster.clock()
    if not theirs:
        yield unknown("the cluster does not tell its time")
        return
    skew = time.time() - theirs
    if abs(skew) > _SKEW_S:
        yield warning(
            f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} "
            "the cluster's",
            "set it by NTP; ages and --since are wrong by as much",
        )
    else:
        yield ok("this machine and the cluster agree on the time")


def permissions(subject: Subject) -> Iterator[Result]:
    """You may do what the launcher does, asked of the server itself."""
    kind = subject.kind.resource
    needed = [
        ("create", kind, ""), ("get", kind, ""), ("delete", kind, ""), ("patch", kind, ""),
        ("list", resources.PODS, ""), ("get", resources.PODS, "log"),
        ("list", resources.EVENTS, ""),
    ]  # fmt: skip
    if subject.spec is None or subject.spec.kind == "train":
        companions = (resources.DISRUPTION_BUDGETS, resources.NETWORK_POLICIES)
        needed += [("patch", each, "") for each in companions]
    answers = [
        start(subject.cluster.may, verb, resource, subresource=sub)
        for verb, resource, sub in needed
    ]
    denied = [
        f"{verb} {'/'.join(filter(None, (resource.plural, sub)))}"
        for (verb, resource, sub), answer in zip(needed, answers, strict=True)
        if not answer.result()
    ]
    where = f"in namespace {subject.cluster.namespace!r}"
    mend = "have an administrator bind the Role of k8s/namespace/20-role.yaml (launcher setup)"
    if f"create {kind.plural}" in denied:
        yield failed(f"you may not {', '.join(denied)} {where}", mend)
    elif denied:
        yield warning(f"you may not {', '.join(denied)} {where}", mend)
    else:
        yield ok(f"you may create and follow {kind.kind}s {where}")
