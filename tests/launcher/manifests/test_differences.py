"""Differences: what changed, in the manifest's own words, and nothing else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from launcher.manifests.differences import differences

_TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(tree=_TREES)
def test_the_same_has_no_differences(tree: Any) -> None:
    assert differences(tree, tree) == []


@given(tree=st.dictionaries(st.text(max_size=5), _TREES, max_size=3), more=_TREES)
def test_what_only_the_server_has_is_a_default(tree: dict[str, Any], more: Any) -> None:
    assert differences({**tree, "added by the server": more}, tree) == []


def test_named_things_are_compared_by_name() -> None:
    old = {"containers": [{"name": "tensorflow", "image": "a", "args": ["--x=1", "--y=2"]}]}
    new = {"containers": [{"name": "tensorflow", "image": "b", "args": ["--x=1", "--y=3"]}]}
    assert differences(old, new) == [
        "containers[tensorflow].image: a -> b",
        "containers[tensorflow].args: without --y=2",
        "containers[tensorflow].args: with --y=3",
    ]


def test_an_entry_that_is_gone_is_told() -> None:
    old = {"volumes": [{"name": "a", "emptyDir": {}}]}
    assert differences(old, {"volumes": []}) == [
        "volumes[a]: {'name': 'a', 'emptyDir': {}} -> nothing"
    ]


def test_values_of_the_environment_are_not_told() -> None:
    old = {"c": {"env": [{"name": "A", "value": "hush"}, {"name": "B", "value": "hush"}]}}
    new = {"c": {"env": [{"name": "B", "value": "hush hush"}, {"name": "C", "value": "hush"}]}}
    assert differences(old, new) == [
        "c.env[A]: set -> nothing",
        "c.env[B]: another value",
        "c.env[C]: nothing -> set",
    ]
    assert differences(old, old) == []
