"""Whatever a user types, a manifest says exactly that and nothing else, or is refused."""

import dataclasses
import re
import string
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher import kinds
from launcher.describe import training
from launcher.errors import UsageError
from launcher.kinds import ClusterKind
from launcher.manifests import yaml_text
from launcher.manifests.names import DNS_LABEL_LENGTH
from launcher.manifests.pod import literal
from launcher.manifests.render import render
from launcher.settings.fields import Settings
from tests.launcher.manifest_schemas import validate
from tests.launcher.manifests.test_render import pod_of
from tests.launcher.spec_examples import BASE, EXAMPLES, train

HOSTILE_EXAMPLES = (
    """
a: b|- x|{evil: true}|$(HOME)|$$(HOME)|---|...|!!python/x|*alias|&anchor|yes|null|1e3|0o17|12:30:45
1_000|~|#|'|"|`id`|; rm -rf /|<<: x|%TAG|=|0x1f|.inf|-.5|2026-01-01|on|N|\\|$|$$|${HOME}
""".strip()
    .replace("\n", "|")
    .split("|")
)
HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.sampled_from(
        [*HOSTILE_EXAMPLES, "x\ny: z", "\u2028", "\x1b[31m", "\t", " lead", "trail ", "\ufeffbom"]
    ),
)
ENV_NAMES = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,12}\Z")
T = TypeVar("T")
CHECKED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def expand(text: str, environment: dict[str, str]) -> str:
    """Expand $(VARIABLE) as the kubelet does (third_party/forked/golang/expansion)."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda m: "$" if m[1] == "$" else environment.get(m[2], m[0]),
        text,
    )


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the arguments of `spec_examples.train`."""
    backend = draw(st.sampled_from(kinds.TRAINING))
    each = draw(st.integers(0, 8))
    workers = draw(st.integers(1, 40))
    return {
        "backend": backend,
        "job_flags": (f"--global_batch_size={workers * max(each, 1) * draw(st.integers(1, 4))}",),
        "gpus": workers * each,
        "workers": workers,
        "gpus_per_worker": each or None,
        "accelerator": draw(st.sampled_from(["", "nvidia-l4", "some-new-gpu"])),
        "cpus": draw(st.sampled_from(["", "500m", "3", "7.5"])),
        "memory": draw(st.sampled_from(["", "3Gi", "4000M", "7.5Gi"])),
        "spot": draw(st.booleans()),
        "queue": draw(st.sampled_from(["", "team-a"])),
        "priority": draw(st.sampled_from(["", "high"])),
        "placement": draw(st.sampled_from(["any", "prefer-zone", "zone"])),
        "max_restarts": draw(st.integers(0, 1000)),
        "max_duration": draw(st.sampled_from(["30m", "7d", "1h30m"])),
        "ttl": draw(st.sampled_from(["1s", "2d"])),
        "env": draw(st.dictionaries(ENV_NAMES.map(lambda n: f"X{n}"), HOSTILE, max_size=3)),
        "annotations": draw(st.dictionaries(st.just("example.com/note"), HOSTILE, max_size=1)),
    }


@CHECKED
@given(wish=wishes())
def test_any_spec_renders_to_a_valid_manifest(wish: dict[str, Any]) -> None:
    """Every combination fits the real schemas, keeps its words and survives YAML."""
    spec = train(**wish)
    manifest, *companions = render(spec)
    for each in (manifest, *companions):
        validate(each)
    assert yaml.safe_load(yaml_text.dump(manifest)) == manifest
    container = pod_of(manifest)["spec"]["containers"][0]
    assert [expand(arg, {"HOME": "/evil"}) for arg in container["args"]] == list(spec.args)
    given_env = {
        e["name"]: expand(e["value"], {"HOME": "/evil"}) for e in container["env"] if "value" in e
    }
    assert spec.env.items() <= given_env.items()
    assert manifest["metadata"]["annotations"].items() >= spec.annotations.items()


@CHECKED
@given(wish=wishes())
def test_rendering_is_pure(wish: dict[str, Any]) -> None:
    """The same spec gives the same manifest, and rendering changes neither spec nor skeleton."""
    spec = train(**wish)
    first = yaml_text.dump_all(render(spec))
    assert yaml_text.dump_all(render(spec)) == first


@CHECKED
@given(text=HOSTILE)
def test_kubernetes_expands_nothing(text: str) -> None:
    """`literal` undoes the kubelet's expansion, whatever variables there are."""
    assert expand(literal(text), {"HOME": "/evil", "": "x"}) == text


@CHECKED
@given(text=HOSTILE)
def test_texts_survive_yaml(text: str) -> None:
    """What is written is read back as the same text, also as a key."""
    assert yaml.safe_load(yaml_text.dump({"key": text})) == {"key": text}
    assert yaml.safe_load(yaml_text.dump({text: [text]})) == {text: [text]}


@pytest.mark.parametrize(
    "text",
    ["1e3", "12e45678", "0o17", "1_000", "12:30", "0x1f", "yes", "NO", "on", "y", "~", "", "=",
     "2026-01-01", ".5", "-1", "+1", "0b1", ".inf", "null", "True", "<<"],
)  # fmt: skip
def test_texts_that_look_like_numbers_are_quoted(text: str) -> None:
    """YAML readers disagree on what is a number: quotes leave nothing to agree on."""
    assert yaml_text.dump({"key": text}).startswith(('key: "', "key: '"))


def unless_refused(make: Callable[[], T]) -> T | None:
    """Make something, or check that the refusal is one line."""
    try:
        return make()
    except UsageError as error:
        refusal = str(error)
    assert "\n" not in refusal
    return None


FIELDS = ("name", "namespace", "image", "service_account", "image_pull_secret")


@CHECKED
@given(field=st.sampled_from(FIELDS), text=HOSTILE)
def test_names_are_refused_or_kept(field: str, text: str) -> None:
    """A name with anything but a name's characters never reaches a manifest."""
    spec = EXAMPLES["jobset-everything"]
    changed = unless_refused(lambda: dataclasses.replace(spec, **{field: text}))
    if changed is None:
        return
    assert re.fullmatch(r"[A-Za-z0-9._/:@-]*", text)
    validate(render(changed)[0])


@CHECKED
@given(
    field=st.sampled_from(["labels", "node_selector", "env", "secret_env", "annotations"]),
    key=HOSTILE,
    value=HOSTILE,
)
def test_keys_are_refused_or_valid(field: str, key: str, value: str) -> None:
    """Keys and label values hold only what Kubernetes allows."""
    chosen = Settings(**(BASE | {field: {key: value}}))
    made = unless_refused(
        lambda: training.prepare(
            chosen, [], name="n", run="", namespace="x", backend=kinds.TFJOB, with_facts=False
        )
    )
    if made is None:
        return
    assert set(key) <= set(string.ascii_letters + string.digits + "._-/")
    validate(render(made.spec)[0])
    if field in ("labels", "node_selector"):
        assert set(value) <= set(string.ascii_letters + string.digits + "._-")


@CHECKED
@given(workers=st.integers(1, 10_000), backend=st.sampled_from(kinds.TRAINING), data=st.data())
def test_no_pod_name_is_too_long(workers: int, backend: ClusterKind, data: Any) -> None:
    """A name that is accepted leaves room for the last worker's pod and host name."""
    from launcher.manifests.names import check_job_name, longest_job_name

    longest = longest_job_name(backend, workers)
    name = "a" * data.draw(st.integers(1, DNS_LABEL_LENGTH + 5))
    pod = {
        kinds.TFJOB: f"{name}-worker-{workers - 1}",
        kinds.JOBSET: f"{name}-worker-0-{workers - 1}-abcde",
    }
    if len(name) <= longest:
        check_job_name(name, backend, workers)
        assert len(pod[backend]) <= DNS_LABEL_LENGTH
    else:
        with pytest.raises(UsageError, match="try"):
            check_job_name(name, backend, workers)
