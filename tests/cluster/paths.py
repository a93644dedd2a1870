"""Where the tests' Kubernetes keeps things: what is built once, and what each cluster writes."""

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = Path(__file__).resolve().parent / "components"


def cache_dir() -> Path:
    """Give the folder of what is built once; $FOOD101_CLUSTER_CACHE names another."""
    default = Path.home() / ".cache" / "food101-vgg19" / "cluster"
    return Path(os.environ.get("FOOD101_CLUSTER_CACHE") or default)


def state_root() -> Path:
    """Give the folder of running clusters; $FOOD101_CLUSTER_STATE names another."""
    return Path(os.environ.get("FOOD101_CLUSTER_STATE") or "/var/tmp/food101-cluster")


def own_state() -> Path:
    """Give the folder of the cluster that `make cluster-up` starts in this checkout."""
    return state_root() / f"up-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"
