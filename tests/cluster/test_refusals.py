"""Jobs that cannot be: each is answered with one clear line, before it is sent or by `why`."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster import credentials, training
from tests.cluster.api import Cluster
from tests.cluster.command import Ended, Launcher
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.waiting import await_condition
from tests.cluster.webhook import denying_webhook

RUN = "gs://food101-nowhere/run"


def submit(name: str, data: str, *options: str) -> list[str]:
    """Type a small job that is sent without a look at its run directory."""
    return training.submit("jobset", name, data, RUN, *options)


def await_why(launcher: Launcher, name: str, situation: str) -> str:
    """Wait until `why` knows the situation; gives its sentence."""
    seen: list[str] = []

    def look() -> str:
        found = launcher("why", name, "-o", "json").data
        seen[:] = [str(found)]
        return str(found["sentence"]) if found["situation"] == situation else ""

    sentence = await_condition(
        f"`why` says {situation}", look, timeout_s=90, every_s=1, seen=lambda: seen
    )
    launcher("why", name)
    return sentence


def last_line(ended: Ended) -> str:
    """Give the line that an error is told in."""
    assert "Traceback" not in ended.text
    return ended.err.strip().splitlines()[-1]


def test_an_image_that_is_no_reference_is_refused_here(
    idle_launcher: Launcher, digits: str
) -> None:
    """No request is made for it."""
    refused = idle_launcher(*submit("typo", digits, "--image", "Not an image"), code=2)
    assert "image 'Not an image'" in last_line(refused)


def test_an_image_that_cannot_be_pulled(idle_launcher: Launcher, digits: str) -> None:
    """The pods stay, and `why` names the image and the node's reason."""
    options = ("--image", "localhost/no-such-image:1", "--skip-checks", "run")
    idle_launcher(*submit("imageless", digits, *options))
    sentence = await_why(idle_launcher, "imageless", "image-pull")
    assert "'localhost/no-such-image:1'" in sentence
    idle_launcher("delete", "imageless", "--wait")


def test_a_missing_secret(idle_launcher: Launcher, digits: str) -> None:
    """Known before; sent all the same, the pods wait for it and `why` names it."""
    options = ("--secret-env", "TOKEN=vault/token")
    refused = idle_launcher(*submit("secretive", digits, *options, "--skip-checks", "run"), code=1)
    assert "secrets: secret 'vault' (--secret-env) does not exist" in refused.err
    idle_launcher(*submit("secretive", digits, *options, "--skip-checks", "run,secrets"))
    sentence = await_why(idle_launcher, "secretive", "secret-missing")
    assert "the secret 'vault' does not exist" in sentence
    idle_launcher("delete", "secretive", "--wait")


def test_a_quota_that_is_too_small(idle_launcher: Launcher, cluster: Cluster, digits: str) -> None:
    """Known before; sent all the same, `why` names the quota and what it allows."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": idle_launcher.namespace},
        "spec": {"hard": {"requests.cpu": "100m"}},
    }
    cluster.apply(quota)
    where = ("resourcequota", "tight", "-n", idle_launcher.namespace)
    await_condition(
        "the quota is in force",
        lambda: cluster.get(*where).get("status", {}).get("hard"),
        timeout_s=30,
    )
    refused = idle_launcher(*submit("greedy", digits, "--skip-checks", "run"), code=1)
    assert "quota: quota 'tight' allows" in refused.err
    skipped = ("--skip-checks", "run,quota,admission")
    idle_launcher(*submit("greedy", digits, *skipped))
    sentence = await_why(idle_launcher, "greedy", "quota-exceeded")
    assert "the quota 'tight'" in sentence
    idle_launcher("delete", "greedy", "--wait")


@pytest.fixture
def somebody(api: Cluster, namespace: str, tmp_path: Path) -> tuple[str, Path]:
    """Somebody without any rights: the name that RBAC knows, and a kubeconfig."""
    api.kubectl("create", "serviceaccount", "somebody", "-n", namespace)
    token = api.kubectl("create", "token", "somebody", "-n", namespace).strip()
    config = credentials.with_token(api.kubeconfig, token=token, namespace=namespace)
    path = tmp_path / "somebody.kubeconfig"
    path.write_text(config)
    return f"system:serviceaccount:{namespace}:somebody", path


def test_somebody_who_may_not_and_then_may(
    idle_launcher: Launcher, api: Cluster, somebody: tuple[str, Path], digits: str
) -> None:
    """Denied with exit code 4 and what to ask for; `setup` gives just that."""
    user, kubeconfig = somebody
    theirs = idle_launcher.as_user(kubeconfig)
    denied = theirs(*submit("mine", digits, "--skip-checks", "run"), code=4)
    assert f"user {user!r} may not get jobsets in namespace" in last_line(denied)
    listed = theirs("list", code=4)
    assert user in last_line(listed)
    idle_launcher("setup", "--user", user, "--only", "roles")
    theirs(*submit("mine", digits, "--skip-checks", "run"))
    assert [job["name"] for job in theirs("list", "-o", "json").data] == ["mine"]
    theirs("status", "mine")
    theirs("check", code=None)
    theirs("delete", "mine", "--wait")


def test_a_webhook_that_says_no_and_then_nothing(
    idle_launcher: Launcher, own_cluster: OwnCluster, digits: str
) -> None:
    """Its own words reach the user; when it is down, that is said instead."""
    with denying_webhook(own_cluster, idle_launcher.namespace, "no jobs on Fridays") as webhook:
        refused = idle_launcher(*submit("friday", digits, "--skip-checks", "run"), code=1)
        assert "refuses it: no jobs on Fridays" in refused.err
        sent = idle_launcher(*submit("friday", digits, "--skip-checks", "all"), code=1)
        assert "'jobs.example.com' refuses it: no jobs on Fridays" in last_line(sent)
        webhook.close()
        down = idle_launcher(*submit("friday", digits, "--skip-checks", "all"), code=1)
        assert "the webhook 'jobs.example.com' does not answer" in last_line(down)


def test_a_policy_of_the_api_server_that_says_no(
    idle_launcher: Launcher, api: Cluster, digits: str
) -> None:
    """A ValidatingAdmissionPolicy is told of in its own words as well."""
    name = idle_launcher.namespace
    where = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    policy, binding = _policy(name, where)
    api.apply(policy, binding)
    try:

        def refused() -> str:
            options = ("--dry-run", "server", "--skip-checks", "all")
            ended = idle_launcher(*submit("unowned", digits, *options), code=None)
            return last_line(ended) if ended.code == 1 else ""

        line = await_condition("the policy is in force", refused, timeout_s=60, every_s=1)
        assert "jobs need the label owner" in line
    finally:
        api.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", name)


def _policy(name: str, where: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    api = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["jobset.x-k8s.io"], "apiVersions": ["*"], "operations": ["CREATE"],
        "resources": ["jobsets"],
    }  # fmt: skip
    policy = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {
                    "expression": "'owner' in object.metadata.labels",
                    "message": "jobs need the label owner",
                }
            ],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": where},
        },
    }
    return policy, binding


@pytest.fixture
def restricted(cluster: Cluster, namespace: str) -> str:
    """A namespace that enforces Pod Security `restricted`, as `setup` makes it."""
    cluster.kubectl(
        "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    return namespace


def test_jobs_keep_the_rules_of_pod_security_restricted(
    restricted: str, idle_launcher: Launcher, cluster: Cluster, digits: str
) -> None:
    """The pods of every kind of job are created where `restricted` is enforced."""
    checked = idle_launcher("check", *_job("jobset", digits), code=None)
    assert "Pod Security restricted" in checked.out
    assert "the server accepts the job and its pods" in checked.out
    for backend in ("tfjob", "jobset"):
        run = f"{RUN}-{backend}"  # Of its own: two jobs never write into one.
        idle_launcher(*training.submit(backend, backend, digits, run, "--skip-checks", "run"))

        def created(backend: str = backend) -> bool:
            label = f"food101/job={backend}"
            return len(cluster.list("pods", "-n", restricted, "-l", label)) == 2

        await_condition(f"the pods of the {backend} are there", created, timeout_s=60)
    events = cluster.list("events", "-n", restricted)
    assert not [event for event in events if "violates PodSecurity" in event.get("message", "")]
    idle_launcher("delete", "tfjob", "jobset")


def _job(backend: str, data: str) -> list[str]:
    return training.submit(backend, "restricted", data, RUN)[1:]
