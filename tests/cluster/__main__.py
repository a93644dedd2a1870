"""`python -m tests.cluster up|down`: a cluster to try the launcher on, for as long as you like."""

import argparse
import sys

from tests.cluster import api, build, controllers, machine, own_cluster, paths
from tests.cluster.phases import Phases


def main() -> int:
    """Start or end the cluster of this checkout."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("action", choices=("up", "down"))
    action = parser.parse_args().action
    try:
        return _up() if action == "up" else _down()
    except (api.KubectlError, build.BuildError, machine.MachineError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _up() -> int:
    why_not = own_cluster.why_no_node()
    if why_not:
        print(f"error: {why_not}", file=sys.stderr)
        return 2
    folder = paths.own_state()
    running = own_cluster.attach(folder)
    if running is None:
        phases = Phases()
        with phases.phase("build"):
            build.build_missing()
        with phases.phase("start the cluster"):
            running = own_cluster.up(folder, keep=True)
        with phases.phase("install the controllers"):
            controllers.install(running)
        print("\n".join(phases.table()), file=sys.stderr)
    print(f"export KUBECONFIG={running.kubeconfig}")
    print(f"export PATH={build.KUBERNETES.built}:$PATH    # kubectl")
    return 0


def _down() -> int:
    own_cluster.down(paths.own_state())
    return 0


if __name__ == "__main__":
    sys.exit(main())
