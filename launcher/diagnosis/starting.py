"""Pods that have a node but do not start: image, secrets, volumes, the container itself."""

import re

from launcher.diagnosis.finding import Finding, clip, names, quote
from launcher.manifests import units
from launcher.observe.state import Container, Pod, State

_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
         "RegistryUnavailable", "ImageInspectError")  # fmt: skip
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_SLOW_START_S = 120.0

_PULL_CAUSES = (
    (r"not found|manifest unknown|NotFound", "the registry has no such image or tag",
     "check the name and tag: --image; build and push it if it is not there yet"),
    (r"401|unauthorized|authentication required|no basic auth|pull access denied|denied|403"
     r"|Forbidden",
     "the registry does not let the node read it",
     "give the node's or the pull secret's account access: --image-pull-secret"),
    (r"no match for platform|no matching manifest|exec format", "it has no build for the node's "
     "architecture", "build it for the nodes: docker build --platform linux/amd64"),
    (r"toomanyrequests|429|rate limit", "the registry limits how often it may be pulled",
     "wait, or copy the image to a registry of your own"),
    (r"no such host|lookup .* on|i/o timeout|connection refused|deadline exceeded|TLS|x509",
     "the node cannot reach the registry", "check the registry's host name and the nodes' network"),
    (r"no space left", "the node's disk is full",
     "wait for the node's image clean-up, or use nodes with larger disks"),
    (r"couldn't parse image|invalid reference", "it is not an image reference",
     "correct --image"),
)  # fmt: skip


def image_pull(state: State) -> Finding | None:
    """The kubelet cannot get the image."""
    stuck = _waiting(state, *_PULL)
    if not stuck:
        return None
    pod, container = stuck[0]
    message = _pull_message(state, pod, container)
    why, mend = "the node cannot pull it", "see the message of the registry above"
    if container.reason == "InvalidImageName":
        message = message or "invalid reference"
    for pattern, cause, remedy in _PULL_CAUSES:
        if re.search(pattern, message, re.IGNORECASE):
            why, mend = cause, remedy
            break
    image = container.image or state.job.image
    return Finding(
        situation="image-pull",
        level="failed",
        sentence=f"{names([p for p, _ in stuck])} of {state.job.name} cannot start: image "
        f"{image!r}: {why}.",
        evidence=(clip(f"{container.reason}: {message}"),),
        mend=(mend, f"then: launcher delete {state.job.name}, and submit again"),
    )


def _pull_message(state: State, pod: Pod, container: Container) -> str:
    """Prefer the error itself: the back-off that follows repeats only the image's name."""
    failed = [
        event.message
        for event in state.events_of("Failed", "InspectFailed")
        if event.name == pod.name and "Failed to pull image" in event.message
    ]
    if container.reason == "ImagePullBackOff" and failed and len(container.message) < 200:
        return failed[0]
    return container.message or (failed[0] if failed else "")


def container_config(state: State) -> Finding | None:
    """The kubelet cannot make the container: a secret, a key, or the image's own user."""
    stuck = _waiting(state, *_CONFIG)
    if not stuck:
        return None
    pod, container = stuck[0]
    message = container.message
    secret = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    key = re.search(r"couldn't find key (\S+) in (Secret|ConfigMap) (\S+)", message)
    situation, why, mend = "container-config", clip(message), "mend what the message names"
    if secret:
        situation = "secret-missing" if secret[1] == "secret" else "config-map-missing"
        why = f"the {secret[1]} {secret[2]!r} does not exist in namespace {state.job.namespace!r}"
        mend = f"create it: kubectl create {secret[1]} generic {secret[2]} --from-literal=KEY=…"
    elif key:
        situation = "secret-missing"
        why = f"the {key[2]} {key[3]} has no key {key[1]!r}"
        mend = "add the key, or correct --secret-env NAME=SECRET/KEY"
    elif "runAsNonRoot" in message:
        situation, why = "runs-as-root", "its image would run as root, which the pod forbids"
        mend = "give the image a numeric non-root USER"
    elif "executable file not found" in message or "no such file" in message:
        situation, why = "no-python", "its image does not have the program that is to be started"
        mend = "use an image made from this project's Dockerfile"
    return Finding(
        situation=situation,
        level="failed",
        sentence=f"{names([p for p, _ in stuck])} of {state.job.name} cannot start: {why}.",
        evidence=(clip(f"{container.reason} ({pod.name}): {message}"),),
        mend=(mend, "the pods start by themselves once it is there"),
    )


def volumes(state: State) -> Finding | None:
    """A volume cannot be attached or mounted."""
    unready = {pod.name: pod for pod in state.pods if pod.node and pod.phase == "Pending"}
    events = [
        event
        for event in state.events_of("FailedMount", "FailedAttachVolume")
        if event.name in unready
    ]
    if not events:
        return None
    event = events[0]
    volume = re.search(r'[Vv]olume "([^"]+)"', event.message)
    secret = re.search(r'(secret|configmap) "([^"]+)" not found', event.message)
    why = f"volume {volume[1]!r} cannot be mounted" if volume else "a volume cannot be mounted"
    mend = "see the volume: kubectl describe pvc, kubectl get volumeattachments"
    if secret:
        why += f": the {secret[1]} {secret[2]!r} does not exist"
        mend = f"create the {secret[1]}, or leave the volume out"
    elif "Multi-Attach" in event.message:
        why += ": it is attached to another node and allows one only"
        mend = "use a bucket (gs://…) or a ReadWriteMany volume for what all workers share"
    return Finding(
        situation="volume-mount",
        level="failed",
        sentence=f"{unready[event.name].replica} of {state.job.name} cannot start: {why}.",
        evidence=(quote(event, state),),
        mend=(mend,),
    )


def admitted_but_refused(state: State) -> Finding | None:
    """The kubelet has sent a pod away: its devices or resources were taken by another."""
    for pod in state.pods:
        if pod.phase == "Failed" and (
            pod.reason == "UnexpectedAdmissionError" or pod.reason.startswith("OutOf")
        ):
            return Finding(
                situation="node-refused",
                level="failed" if state.job.over else "warning",
                sentence=f"node {pod.node!r} refused {pod.replica} of {state.job.name}: "
                f"{clip(pod.message)}.",
                evidence=(f"{pod.name}: {pod.reason}",),
                mend=(
                    "submit again; if it happens again, the node's GPU driver or device plugin is "
                    "unhealthy: have it drained",
                ),
            )
    return None


def starting(state: State) -> Finding | None:
    """Nothing is wrong yet: images are pulled, containers made."""
    if state.job.over or state.job.suspended:
        return None
    young = [pod for pod in state.pods if pod.phase == "Pending" and pod.node]
    if not young and state.pods:
        return None
    if not state.pods:
        return Finding(
            situation="creating",
            level="waiting",
            sentence=f"{state.job.name} was accepted; its pods are being created.",
            mend=("look again in a moment",),
        )
    oldest = max(state.age_s(pod.created) for pod in young)
    pulling = [e for e in state.events_of("Pulling") if e.name in {pod.name for pod in young}]
    doing = "pulling the image" if pulling else "starting"
    if oldest > _SLOW_START_S and not pulling:
        sandbox = state.events_of("FailedCreatePodSandBox")
        if sandbox:
            return Finding(
                situation="sandbox",
                level="warning",
                sentence=f"{names(young)} of {state.job.name} cannot start: the node cannot make "
                "their network.",
                evidence=(quote(sandbox[0], state),),
                mend=("have the node looked at (its network plugin); a drain moves the pods",),
            )
    return Finding(
        situation="starting",
        level="waiting",
        sentence=f"{names(young)} of {state.job.name} {'has' if len(young) == 1 else 'have'} been "
        f"{doing} for {units.format_seconds(oldest)}.",
        evidence=tuple(quote(event, state) for event in pulling[:1]),
        mend=("a first pull of the image (about 2 GB) takes a few minutes",) if pulling else (),
    )


def _waiting(state: State, *reasons: str) -> list[tuple[Pod, Container]]:
    return [
        (pod, container)
        for pod in state.pods
        for container in pod.containers
        if container.state == "waiting" and container.reason in reasons
    ]
