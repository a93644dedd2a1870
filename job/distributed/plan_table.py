"""The plan of the gradient exchange as a table for people; standard library only."""

import itertools

from job.contract.wording import many
from job.distributed.exchange_plan import Cost, Plan, VariablePlan

_HEADER = ("variables", "travel as", "MB dense", "MB planned", "ms dense", "ms planned")
_MEGA = 1e6


def plan_table(plan: Plan) -> str:
    """Say per layer group what one replica sends in a step, and how long that should take."""
    title = (
        f"gradient exchange ({plan.mode}) over {plan.replicas} replicas, "
        f"{plan.per_replica_batch} images each, at {links_in_words(plan)}"
    )
    if plan.replicas == 1:
        return f"{title}: nothing to exchange"
    total = ("in all", "", *_numbers(plan.dense, plan.planned))
    rows = [_HEADER, *_group_rows(plan), _latency_row(plan), total]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([title, lines[0], rule, *lines[1:-1], rule, lines[-1], _verdict(plan)])


def links_in_words(plan: Plan) -> str:
    """Say what connects the replicas: those of one worker, and the workers."""
    link = plan.link
    if not link.local_gbps or plan.workers == plan.replicas:
        return f"{link.network_gbps:g} Gbit/s"
    within = f"{link.local_gbps:g} Gbit/s within a worker"
    if plan.workers == 1:
        return within
    return f"{link.network_gbps:g} Gbit/s between {plan.workers} workers, {within}"


def _verdict(plan: Plan) -> str:
    factor = plan.dense.sent_bytes / plan.planned.sent_bytes
    faster = plan.dense.seconds / plan.planned.seconds
    if plan.mode != "dense" and factor <= 1:
        return "everything dense: nothing else would be faster"
    return f"{factor:.1f} x fewer bytes, {faster:.1f} x less time than dense"


def _group_rows(plan: Plan) -> list[tuple[str, ...]]:
    rows = []
    for group, members in itertools.groupby(plan.variables, _group):
        variables = list(members)
        dense = sum((v.dense for v in variables), Cost())
        planned = sum((v.planned for v in variables), Cost())
        name = variables[0].name if len(variables) == 1 else f"{group} ({len(variables)} variables)"
        methods = dict.fromkeys(v.method.value for v in variables)  # In order, without doubles.
        rows.append((name, " + ".join(methods), *_numbers(dense, planned)))
    return rows


def _group(variable: VariablePlan) -> str:
    # "vgg_19/conv1/conv1_2/weights" and its neighbours belong to "vgg_19/conv1".
    return "/".join(variable.name.split("/")[:2])


def _latency_row(plan: Plan) -> tuple[str, ...]:
    """Say what messages cost beside their bytes, so that each column adds up."""
    dense = plan.dense.seconds - sum(v.dense.seconds for v in plan.variables)
    planned = plan.planned.seconds - sum(v.planned.seconds for v in plan.variables)
    gather = "1 gather, " if plan.factor_names else ""
    messages = gather + many(len(plan.bundles), "all-reduce")
    return ("latency of messages", messages, *_numbers(Cost(0.0, dense), Cost(0.0, planned)))


def _numbers(dense: Cost, planned: Cost) -> tuple[str, ...]:
    megabytes = (cost.sent_bytes / _MEGA for cost in (dense, planned))
    milliseconds = (cost.seconds * 1e3 for cost in (dense, planned))
    return tuple(f"{value:,.1f}" for value in (*megabytes, *milliseconds))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
