"""`python -m job.supervise worker-0 -m job.train ...`: the parent of a pod's trainer.

It keeps the log of what it starts as `attempts/<n>/worker-0.log` in the run directory, and beside
it a record of how the attempt began and ended, by which the job keeps to its budget of restarts and
to its longest duration (`job/process/restart_budget.py`).
"""

import os
import signal
import sys

_USAGE = "usage: python -m job.supervise REPLICA -m job.train FLAGS..."


def main() -> int:
    """Run Python with the arguments given, as a child, and give its exit code."""
    # First of all: what is blocked waits, but what nobody asks for the kernel keeps from process 1.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    from job.process.supervisor import supervise

    if len(sys.argv) < 4:
        print(_USAGE, file=sys.stderr)
        return 2
    return supervise(sys.argv[1], [sys.executable, *sys.argv[2:]])


if __name__ == "__main__":
    # Not by sys.exit: a copy that an outage holds up must not hold up the end of the pod.
    os._exit(main())
