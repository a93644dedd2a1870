"""How many cores a process may use; standard library only."""

import os


def available_cores() -> int:
    """Count the cores this process may use, a container's CPU limit included."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = _cgroup_limit()
    return max(1, cores if limit is None else min(cores, round(limit)))


def _cgroup_limit() -> float | None:
    """Read the CPU limit in cores that Kubernetes sets (cgroup v2, then v1)."""
    v1 = "/sys/fs/cgroup/cpu/cpu.cfs_"
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except OSError:
        try:
            with open(f"{v1}quota_us") as quota_file, open(f"{v1}period_us") as period_file:
                quota, period = quota_file.read(), period_file.read()
        except OSError:
            return None
    return float(quota) / float(period) if quota.strip() not in ("max", "-1") else None
