"""Names, labels, image references."""

import pytest

from launcher import kinds
from launcher.errors import UsageError
from launcher.manifests import names


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("My Job", "my-job"),
        ("1st", "job-1st"),
        ("a" * 80, "a" * 54),
        ("x_y.z", "x-y-z"),
        ("-a-", "a"),
    ],
)
def test_wrong_names_get_a_suggestion_that_works(name: str, suggested: str) -> None:
    """The error names a name that passes."""
    with pytest.raises(UsageError, match=f"try '{suggested}'"):
        names.check_job_name(name, kinds.TFJOB, 2)
    names.check_job_name(suggested, kinds.TFJOB, 2)


@pytest.mark.parametrize(
    "image",
    ["busybox", "a/b:1", "localhost:5000/a/b:v1.2_3", "r.example/a/b@sha256:" + "a" * 64,
     "europe-docker.pkg.dev/p/r/food101:0.1.0-gpu"],
)  # fmt: skip
def test_image_references(image: str) -> None:
    """Every usual form of an image reference passes."""
    names.check_image(image)


@pytest.mark.parametrize("image", ["", "a b", "a\nb", "https://x/y", "a@sha256:12", "$(X)", "-x"])
def test_wrong_images(image: str) -> None:
    """What cannot be an image is refused with a reason."""
    with pytest.raises(UsageError, match="image"):
        names.check_image(image)


@pytest.mark.parametrize("key", ["a", "example.com/a", "kueue.x-k8s.io/queue-name", "A_b.c-d"])
def test_keys(key: str) -> None:
    """Qualified names pass."""
    names.check_key(key, "label")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "-a", "a b", "ex..com/a", "a" * 64, "é"])
def test_wrong_keys(key: str) -> None:
    """Anything else is refused."""
    with pytest.raises(UsageError, match="label"):
        names.check_key(key, "label")


@pytest.mark.parametrize("name", ["TF_CONFIG", "NUM_WORKERS", "1A", "A-B", "A=B", ""])
def test_environment_names(name: str) -> None:
    """Reserved names and what no shell takes are refused."""
    with pytest.raises(UsageError, match="env"):
        names.check_env_name(name, ("TF_CONFIG", "NUM_WORKERS"))
