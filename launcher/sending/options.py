"""How a job is to be sent: what a person has asked for beside the job itself."""

import argparse
import math
from dataclasses import dataclass
from typing import Literal

from launcher.manifests import units

DryRun = Literal["", "client", "server"]


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """What to do with a job once it is described."""

    dry_run: DryRun = ""
    """client: print the manifest; server: let the cluster check it; keep nothing."""
    output: str = ""
    """Format of what is printed: json, yaml, name; empty is for a person."""
    skip_checks: tuple[str, ...] = ()
    wait: bool = False
    follow: bool = False
    timeout_s: float = math.inf
    """Longest time to wait, in seconds."""
    namespace: str = ""
    """The namespace as it was typed, for the commands that are told next."""

    @property
    def introduces(self) -> bool:
        """Whether the job is to be described to a person before it is sent."""
        return self.dry_run != "client" and not self.output


def from_args(args: argparse.Namespace) -> SendOptions:
    """Read what `launcher.settings.arguments.add_sending` has declared.

    Raises:
        UsageError: --timeout is no time.
    """
    return SendOptions(
        dry_run=args.dry_run or "",
        output=args.output or "",
        skip_checks=tuple(name for name in args.skip_checks.split(",") if name),
        wait=args.wait,
        follow=args.follow,
        timeout_s=units.seconds_or_ever(args.timeout, "--timeout"),
        namespace=args.namespace or "",
    )
