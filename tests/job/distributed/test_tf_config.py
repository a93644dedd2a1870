"""Every form of TF_CONFIG that operators, people and old tutorials write: understood, or refused.

None is taken for one process because it was not understood.
"""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.errors import ConfigError
from job.distributed.cluster import SINGLE, read_cluster
from job.distributed.tf_config import parse_tf_config

CHIEF = "c:2222"
W = ("w0:2222", "w1:2222", "w2:2222")
WORKERS = {"worker": list(W)}
SECOND = {"type": "worker", "index": 1}


def text(cluster: Any = WORKERS, task: Any = SECOND, **more: Any) -> str:
    return json.dumps({"cluster": cluster, "task": task} | more)


TAKEN = {
    "TFJob, workers only": (text(environment="cloud"), 1, W),
    "TFJob, a chief and workers": (
        text({"chief": [CHIEF], "worker": list(W)}, SECOND, environment="cloud"),
        2,
        (CHIEF, *W),
    ),
    "v1alpha operators, a master": (
        text({"master": [CHIEF], "worker": list(W)}, {"type": "master", "index": 0}),
        0,
        (CHIEF, *W),
    ),
    "the order of keys": (
        text({"worker": list(W), "chief": [CHIEF]}, {"index": 0, "type": "worker"}),
        1,
        (CHIEF, *W),
    ),
    "an evaluator beside them": (text(WORKERS | {"evaluator": ["e:2222"]}), 1, W),
    "an empty list of servers": (text(WORKERS | {"ps": []}), 1, W),
    "Vertex AI": (text(environment="cloud", job='{"python_module": "x"}'), 1, W),
    "one replica on Vertex AI": (
        text({"chief": ["127.0.0.1:2222"]}, {"type": "chief", "index": 0}, environment="cloud"),
        0,
        ("127.0.0.1:2222",),
    ),
    "the resolver's rpc_layer": (text(rpc_layer="grpc"), 1, W),
    "an index as text": (text(task={"type": "worker", "index": "2"}), 2, W),
    "a lone chief without index": (
        text({"chief": [CHIEF], "worker": [W[0]]}, {"type": "chief"}),
        0,
        (CHIEF, W[0]),
    ),
    "a lone worker without task": (json.dumps({"cluster": {"worker": [W[0]]}}), 0, W[:1]),
    "one kind without type": (text(task={"index": 1}), 1, W),
    "a task's trial": (text(task=SECOND | {"trial": "1"}), 1, W),
    "one host, several ports": (
        text({"worker": ["localhost:12345", "localhost:23456"]}),
        1,
        ("localhost:12345", "localhost:23456"),
    ),
    "IPv6": (text({"worker": ["[fd00::1]:1", "[fd00::2]:1"]}), 1, ("[fd00::1]:1", "[fd00::2]:1")),
    "line breaks": (json.dumps(json.loads(text()), indent=2) + "\n", 1, W),
}


@pytest.mark.parametrize("form", TAKEN)
def test_what_is_understood(form: str) -> None:
    tf_config, worker, addresses = TAKEN[form]
    cluster = read_cluster({"TF_CONFIG": tf_config})
    if len(addresses) == 1:
        assert cluster == SINGLE
    else:
        assert (cluster.worker, cluster.addresses) == (worker, addresses)
        assert cluster.is_chief is (worker == 0)


REFUSED = {
    "workers for worker": (text({"workers": list(W)}), "cluster.workers .*did you mean worker"),
    "workers beside a chief": (
        text({"chief": [CHIEF], "workers": list(W)}, {"type": "chief", "index": 0}),
        "cluster.workers",
    ),
    "capitals, as in a TFJob's spec": (text({"Worker": list(W)}), "cluster.Worker .*worker"),
    "another type": (text({"trainer": list(W)}), "cluster.trainer .*chief and worker"),
    "parameter servers": (text(WORKERS | {"ps": ["p:1"]}), "cluster.ps .*remove"),
    "a parameter server": (text(task={"type": "ps", "index": 0}), "task.type is 'ps'.*remove"),
    "an evaluator": (
        text(WORKERS | {"evaluator": ["e:1"]}, {"type": "evaluator", "index": 0}),
        "task.type is 'evaluator'.*remove that replica type",
    ),
    "a sparse cluster": (
        json.dumps({"sparseCluster": {"worker": {"0": W[0]}}, "task": SECOND}),
        "sparseCluster .*enableDynamicWorker: false",
    ),
    "a sparse list of workers": (
        text({"worker": {"0": W[0], "2": W[2]}}),
        "cluster.worker must be a list of host:port, not an object",
    ),
    "two chiefs": (
        text({"chief": ["a:1", "b:1"]}, {"type": "chief", "index": 0}),
        "names 2 chiefs; a cluster has one",
    ),
    "a chief and a master": (text({"chief": ["a:1"], "master": ["b:1"]} | WORKERS), "2 chiefs"),
    "no cluster": (json.dumps({"task": SECOND}), "cluster is missing; .*unset TF_CONFIG"),
    "an index without a cluster": (
        json.dumps({"cluster": {}, "task": SECOND}),
        "cluster is empty; .*unset TF_CONFIG",
    ),
    "an empty object": ("{}", "cluster is missing"),
    "an environment alone": ('{"environment": "cloud"}', "cluster is missing"),
    "cluster: null": (text(None), "cluster is missing"),
    "clusters for cluster": (
        json.dumps({"clusters": WORKERS, "task": SECOND}),
        "clusters .*did you mean cluster",
    ),
    "no worker": (text({"worker": [], "chief": []}), "cluster names no worker"),
    "an evaluator alone": (text({"evaluator": ["e:1"]}), "cluster names no worker"),
    "a cluster as text": (text(json.dumps(WORKERS)), "cluster must be an object, not text"),
    "workers as text": (text({"worker": W[0]}), "cluster.worker must be a list .*not text"),
    "workers as one text": (text({"worker": ",".join(W)}), "cluster.worker must be a list"),
    "workers as a number": (text({"worker": 3}), "cluster.worker .*not a number"),
    "workers: null": (text({"worker": None}), "cluster.worker .*not null"),
    "an address that is none": (text({"worker": [W[0], None]}), "cluster.worker .*holds null"),
    "addresses without port": (text({"worker": ["a:1", "b"]}), "cluster.worker: .*host:port"),
    "port 0": (text({"worker": ["a:1", "b:0"]}), "host:port, not 'b:0'"),
    "a port too high": (text({"worker": ["a:1", "b:65536"]}), "host:port, not 'b:65536'"),
    "a blank": (text({"worker": ["a:1", "b:1 "]}), "host:port, not 'b:1 '"),
    "a protocol": (text({"worker": ["grpc://a:1", "grpc://b:1"]}), "without a protocol"),
    "IPv6 without brackets": (text({"worker": ["fd00::1:22", "fd00::2:22"]}), r"\[fd00::1\]:2222"),
    "an address twice": (text({"worker": ["a:1", "a:1"]}), "same address: a:1, a:1"),
    "an address twice in other letters": (
        text({"chief": ["A.svc.:1"], "worker": ["b:1", "a.svc:1"]}),
        "same address: A.svc.:1, a.svc:1",
    ),
    "no task": (json.dumps({"cluster": WORKERS}), "task is missing, so each of the 3"),
    "task: null": (text(task=None), "task is missing"),
    "a task as text": (text(task="worker-1"), "task must be an object, not text"),
    "a task's id": (text(task={"type": "worker", "id": 1}), "task.index is missing"),
    "a task's Index": (text(task={"type": "worker", "Index": 1}), "task.Index .*mean index"),
    "no index": (text(task={"type": "worker"}), "task.index is missing, .*3 of type worker"),
    "index: null": (text(task={"type": "worker", "index": None}), "task.index is missing"),
    "no type": (text({"chief": [CHIEF]} | WORKERS, {"index": 0}), "task.type is missing.*chief"),
    "a type that is none": (text(task={"type": 0, "index": 0}), "task.type must be text"),
    "a type in capitals": (text(task={"type": "Worker", "index": 0}), "task.type .*mean worker"),
    "another kind": (text(task={"type": "chief", "index": 0}), "chief 0, but .* has 0"),
    "an index too high": (text(task={"type": "worker", "index": 3}), "worker 3, but .* has 3"),
    "an index below 0": (text(task={"type": "worker", "index": -1}), "worker -1, but"),
    "an index in words": (text(task={"type": "worker", "index": "one"}), 'not "one"'),
    "an index of $(VARIABLE)": (text(task=SECOND | {"index": "$(INDEX)"}), r"\$\(INDEX\)"),
    "half an index": (text(task={"type": "worker", "index": 0.5}), "whole number, not 0.5"),
    "an index that is true": (text(task={"type": "worker", "index": True}), "not true"),
    "another protocol": (text(rpc_layer="grpc+verbs"), "rpc_layer is .*grpc only"),
    "a key twice": ('{"cluster": {"worker": ["a:1"], "worker": ["b:1"]}}', "worker is there twice"),
    "not JSON": ("{oops", "TF_CONFIG is not JSON: .*oops"),
    "Python's repr": (str({"cluster": WORKERS}), "is not JSON: .*double quotes"),
    "cut off": (text()[:-1], "is not JSON"),
    "a number": ("1", "must be a JSON object, not a number"),
    "null": ("null", "must be a JSON object, not null"),
    "a list": ("[]", "must be a JSON object, not a list"),
    "quoted once too often": (json.dumps(text()), "must be a JSON object, not text"),
    "a pit": ("[" * 100_000, "TF_CONFIG is not JSON"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused(form: str) -> None:
    """With one line that names the key, of a length that can be read."""
    tf_config, message = REFUSED[form]
    with pytest.raises(ConfigError, match=message) as error:
        read_cluster({"TF_CONFIG": tf_config})
    assert str(error.value).startswith("TF_CONFIG")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_the_number_of_workers_must_be_one_number() -> None:
    """A TF_CONFIG in a JobSet says the same, or one of the two is wrong."""
    assert read_cluster({"TF_CONFIG": text(), "NUM_WORKERS": "3"}).num_workers == 3
    with pytest.raises(ConfigError, match="describes 3 workers, but NUM_WORKERS is 4"):
        read_cluster({"TF_CONFIG": text(), "NUM_WORKERS": "4"})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ADDRESSES = st.from_regex(r"[a-c]:[1-3]", fullmatch=True)
KINDS = st.sampled_from(["chief", "master", "worker", "workers", "ps", "evaluator"])
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KINDS, inner, max_size=3)
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "cluster": st.dictionaries(KINDS, st.lists(ADDRESSES, max_size=3), max_size=3) | JSON,
        "task": st.fixed_dictionaries(
            {}, optional={"type": KINDS | JSON, "index": st.integers(-1, 3) | JSON}
        )
        | JSON,
        "environment": JSON,
    },
)


@given(CONFIGS | JSON)
def test_anything_is_a_place_among_all_addresses_or_refused(content: Any) -> None:
    """Every address that is written counts, or nothing does."""
    with contextlib.suppress(ConfigError):
        member = parse_tf_config(json.dumps(content))
        written = [
            address
            for kind in ("chief", "master", "worker")
            for address in content["cluster"].get(kind, ())
        ]
        assert list(member.addresses) == written
        assert 0 <= member.worker < len(written)
