"""What the tests of the lease run in processes of their own."""

import os
import sys

from job.contract.errors import LeaseLostError, RunHeldError
from job.run.lease import take

SECOND_S = 0.05


def hold(run: str, submission: str) -> None:
    """Hold a run until somebody takes it or this process is killed; end with the right code."""
    with take(run, submission, heartbeat_s=SECOND_S) as lease:
        print(lease.number, flush=True)
        while True:
            try:
                lease.check()
            except LeaseLostError as error:
                print(error, flush=True)
                sys.exit(error.exit_code)


def race(run: str, starts: int) -> None:
    """Let many processes take one run at the same moment; say how many got it."""
    start, opener = os.pipe()
    results, report = os.pipe()
    end, closer = os.pipe()
    for number in range(starts):
        if not os.fork():
            os.close(opener)
            os.close(closer)
            os.read(start, 1)  # All of them wait here until the other end is closed.
            os.write(report, _try_to_take(run, f"submission-{number}"))
            os.read(end, 1)  # Who has won lives on: a dead owner is succeeded.
            os._exit(0)
    os.close(opener)
    letters = b"".join(os.read(results, 1) for _ in range(starts))
    os.close(closer)
    print(letters.count(b"w"), letters.count(b"r"))


def _try_to_take(run: str, submission: str) -> bytes:
    try:
        take(run, submission)
    except RunHeldError:
        return b"r"
    return b"w"


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(sys.argv[2], sys.argv[3])
    else:
        race(sys.argv[2], int(sys.argv[3]))
