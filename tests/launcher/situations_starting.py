"""Situations of pods that have a node and do not start."""

from tests.launcher.shapes import (
    CREATED,
    event,
    pod,
    stuck,
    tfjob,
)
from tests.launcher.situation import Situation

SITUATIONS = [
    Situation(
        name="the image does not exist",
        job=tfjob(CREATED),
        pods=[
            stuck(
                0, "ErrImagePull",
                "rpc error: code = NotFound desc = failed to pull and unpack image "
                '"registry.example/food101:0.1.0": failed to resolve reference: not found',
            ),
            stuck(1, "ImagePullBackOff", 'Back-off pulling image "registry.example/food101:0.1.0"'),
        ],
        expect="image-pull", level="failed",
        says=("worker-0, worker-1", "registry.example/food101:0.1.0", "no such image or tag"),
    ),
    Situation(
        name="the registry denies",
        job=tfjob(CREATED),
        pods=[
            stuck(0, "ImagePullBackOff", 'Back-off pulling image "registry.example/food101:0.1.0"')
        ],
        events=[
            event(
                "mnist-worker-0", "Failed",
                'Failed to pull image "registry.example/food101:0.1.0": failed to authorize: 403 '
                "Forbidden",
            )
        ],
        expect="image-pull", level="failed", says=("does not let the node read", "pull-secret"),
    ),
    Situation(
        name="not an image reference",
        job=tfjob(CREATED),
        pods=[stuck(0, "InvalidImageName", "couldn't parse image name \"Food101:0.1\"")],
        expect="image-pull", level="failed", says=("not an image reference", "--image"),
    ),
    Situation(
        name="a secret is missing",
        job=tfjob(CREATED),
        pods=[stuck(0, "CreateContainerConfigError", 'secret "wandb" not found')],
        expect="secret-missing", level="failed", says=("secret 'wandb' does not exist", "create"),
    ),
    Situation(
        name="a key of a secret is missing",
        job=tfjob(CREATED),
        pods=[
            stuck(0, "CreateContainerConfigError", "couldn't find key token in Secret team/wandb")
        ],
        expect="secret-missing", level="failed", says=("no key 'token'", "--secret-env"),
    ),
    Situation(
        name="the image runs as root",
        job=tfjob(CREATED),
        pods=[
            stuck(
                0, "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            )
        ],
        expect="runs-as-root", level="failed", says=("non-root USER",),
    ),
    Situation(
        name="the image has no Python",
        job=tfjob(CREATED),
        pods=[
            stuck(
                0, "RunContainerError",
                'failed to create containerd task: exec: "python": executable file not found in '
                "$PATH",
            )
        ],
        expect="no-python", level="failed", says=("does not have the program",),
    ),
    Situation(
        name="a volume cannot be mounted",
        job=tfjob(CREATED),
        pods=[stuck(0, "ContainerCreating")],
        events=[
            event(
                "mnist-worker-0", "FailedMount",
                'MountVolume.SetUp failed for volume "key" : secret "gcs-key" not found', count=7,
            )
        ],
        expect="volume-mount", level="failed", says=("volume 'key'", "secret 'gcs-key'"),
    ),
    Situation(
        name="the image is being pulled",
        job=tfjob(CREATED),
        pods=[stuck(0, "ContainerCreating"), stuck(1, "ContainerCreating")],
        events=[event("mnist-worker-0", "Pulling", "Pulling image", warning=False)],
        expect="starting", level="waiting",
        says=("have been pulling the image for 8m", "a few minutes"),
    ),
    Situation(
        name="the node's devices were gone",
        job=tfjob(CREATED),
        pods=[
            pod(
                0, phase="Failed", reason="UnexpectedAdmissionError",
                message="Allocate failed due to requested number of devices unavailable for "
                "nvidia.com/gpu. Requested: 8, Available: 7, which is unexpected",
            )
        ],
        expect="node-refused", level="warning", says=("refused worker-0", "Available: 7"),
    ),
]  # fmt: skip
