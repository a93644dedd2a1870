"""The plan of the gradient exchange: complete, the same everywhere, and never dearer than dense."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.distributed.exchange_bundles import Method, bundle_bytes
from job.distributed.exchange_plan import MODES, Plan, is_fully_connected, plan_exchange
from job.distributed.plan_table import plan_table
from job.model.shapes import layer_shapes

FULL = layer_shapes(101, "fc")

plans = st.builds(
    plan_exchange,
    st.builds(
        layer_shapes,
        st.integers(1, 2000),
        st.sampled_from(["fc", "gap"]),
        st.sampled_from([0.05, 0.3, 1.0]),
    ),
    per_replica_batch=st.integers(1, 512),
    replicas=st.integers(1, 1024),
    network_gbps=st.floats(0.1, 400),
    mode=st.sampled_from(MODES),
    product_gflops=st.floats(10, 1e6),
    compute_dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
)


@given(plans)
def test_every_number_of_every_gradient_travels_exactly_once(plan: Plan) -> None:
    """Bundles cover the dense gradients without a gap or an overlap; factors the others."""
    covered: dict[str, list[tuple[int, int]]] = {}
    for bundle in plan.bundles:
        for piece in bundle.pieces:
            covered.setdefault(piece.name, []).append((piece.start, piece.stop))
    for variable in plan.variables:
        if variable.method is Method.FACTORS:
            assert variable.name not in covered
            continue
        edges = sorted(covered.pop(variable.name))
        assert edges[0][0] == 0
        assert edges[-1][1] == math.prod(variable.shape)
        assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))
    assert covered == {}


@given(plans)
def test_bundles_stay_within_their_size_and_hold_one_type(plan: Plan) -> None:
    """No all-reduce is larger than what travels fast, or mixes float32 and bfloat16."""
    methods = {variable.name: variable.method for variable in plan.variables}
    for bundle in plan.bundles:
        number = 2 if bundle.method is Method.BFLOAT16 else 4
        assert sum(piece.size for piece in bundle.pieces) * number <= bundle_bytes(plan.replicas)
        assert {methods[piece.name] for piece in bundle.pieces} == {bundle.method}


@given(plans)
def test_factors_are_chosen_only_where_they_are_faster(plan: Plan) -> None:
    """Unless somebody forces them, each layer's factors take less time than its dense gradient."""
    for variable in plan.variables:
        if variable.method is Method.FACTORS:
            assert is_fully_connected(variable.name, variable.shape)
            assert plan.replicas > 1
            if plan.mode == "auto":
                assert variable.planned.seconds < variable.dense.seconds
    if plan.mode == "auto":
        assert plan.planned.seconds <= plan.dense.seconds


@given(plans)
def test_modes_mean_what_they_say(plan: Plan) -> None:
    """`dense` and `auto` never round a gradient; `factors` takes all fully connected layers."""
    methods = {variable.method for variable in plan.variables}
    if plan.mode == "dense":
        assert methods == {Method.DENSE}
    if plan.mode in ("auto", "factors"):
        assert Method.BFLOAT16 not in methods
    if plan.mode == "factors" and plan.replicas > 1:
        assert all(
            v.method is Method.FACTORS
            for v in plan.variables
            if is_fully_connected(v.name, v.shape)
        )
    if plan.mode in ("dense", "auto") and plan.wire_bytes == 2:
        assert plan.mode == "auto"


@pytest.mark.parametrize(
    ("replicas", "dense_mb", "planned_mb"), [(2, 560, 91), (8, 980, 210), (16, 1050, 297)]
)
def test_full_vgg19_sends_what_was_worked_out_by_hand(
    replicas: int, dense_mb: float, planned_mb: float
) -> None:
    """At 64 images per replica, factors for fc6 and fc7 save most of the bytes."""
    plan = plan_exchange(FULL, 64, replicas, 10)
    assert plan.dense.sent_bytes / 1e6 == pytest.approx(dense_mb, rel=0.01)
    assert plan.planned.sent_bytes / 1e6 == pytest.approx(planned_mb, rel=0.01)


def test_512_replicas_exchange_densely() -> None:
    """Gathering the factors of 511 others would cost more than the gradient itself."""
    assert plan_exchange(FULL, 64, 512, 10).factor_names == ()


def test_a_slow_processor_on_a_fast_network_exchanges_densely() -> None:
    """The larger product counts: it may take longer than the bytes that it saves."""
    assert plan_exchange(FULL, 32, 4, 100, product_gflops=20).factor_names == ()
    assert "vgg_19/fc6/weights" in plan_exchange(FULL, 32, 4, 1, product_gflops=20).factor_names


def test_bfloat16_needs_a_thirteenth_of_the_bytes_of_two_replicas() -> None:
    """Half the bytes for convolutions and factors alike."""
    plan = plan_exchange(FULL, 32, 2, 10, "bfloat16")
    assert plan.dense.sent_bytes / plan.planned.sent_bytes > 13


def test_a_network_that_computes_in_bfloat16_loses_nothing_by_sending_bfloat16_factors() -> None:
    """Activations and deltas travel in the type in which they were computed."""
    plan = plan_exchange(FULL, 32, 2, 10, compute_dtype="bfloat16")
    assert plan.wire_bytes == 2
    # The last layer is always computed in float32.
    assert plan.factor_names == ("vgg_19/fc6/weights", "vgg_19/fc7/weights")
    for other in ("float32", "float16"):
        assert plan_exchange(FULL, 32, 2, 10, compute_dtype=other).wire_bytes == 4


def test_the_table_names_every_group_and_the_totals() -> None:
    """A reader sees per layer how it travels, the bytes and the predicted time."""
    table = plan_table(plan_exchange(FULL, 64, 8, 10))
    assert "over 8 replicas, 64 images each, at 10 Gbit/s" in table
    assert "vgg_19/fc6" in table
    assert "factors" in table
    assert "4.7 x fewer bytes" in table
    assert max(len(line) for line in table.splitlines()) <= 100


def test_one_replica_has_nothing_to_exchange() -> None:
    """A single process sees no table of zeros."""
    assert plan_table(plan_exchange(FULL, 64, 1, 10)).endswith("nothing to exchange")


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"mode": "fast"}, "must be one of"), ({"replicas": 0}, "positive numbers")],
)
def test_a_plan_for_impossible_numbers_is_refused(changed: dict[str, object], message: str) -> None:
    """The message names the rule that was broken."""
    arguments = {"per_replica_batch": 1, "replicas": 2, "network_gbps": 1.0} | changed
    with pytest.raises(ValueError, match=message):
        plan_exchange(FULL, **arguments)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 16), st.integers(1, 8), st.floats(1, 400), st.floats(1, 3000),
    st.sampled_from(MODES),
)  # fmt: skip
def test_links_within_a_worker_never_make_an_exchange_slower_than_its_slowest_link(
    workers: int, each: int, network: float, local: float, mode: str
) -> None:
    """One ring over all replicas: what is slowest sets the pace, and nothing else counts."""
    replicas = workers * each
    two_levels = plan_exchange(FULL, 64, replicas, network, mode, workers=workers, local_gbps=local)
    slowest = min(local, network) if workers > 1 else local
    one_level = plan_exchange(FULL, 64, replicas, slowest, mode)
    assert two_levels.planned.seconds <= one_level.planned.seconds * (1 + 1e-9)
    if each == 1 and local >= network:
        assert two_levels.planned == plan_exchange(FULL, 64, replicas, network, mode).planned


def test_one_workers_gpus_do_not_exchange_over_the_network() -> None:
    fast, slow = (plan_exchange(FULL, 64, 8, gbps, workers=1, local_gbps=1800) for gbps in (200, 1))
    assert fast.planned == slow.planned
    assert plan_table(fast).startswith(
        "gradient exchange (auto) over 8 replicas, 64 images each, at 1800 Gbit/s within a worker"
    )
    several = plan_exchange(FULL, 64, 16, 100, workers=2, local_gbps=1800)
    assert "at 100 Gbit/s between 2 workers, 1800 Gbit/s within a worker" in plan_table(several)
