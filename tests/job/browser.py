"""A headless Chromium for tests that must know what a reader would see."""

import shutil
import subprocess

import pytest

_LOADING_MS = 20_000  # Of the page's own clock, which runs ahead while nothing happens.


def rendered_dom(path: str, profile: str) -> str:
    """Open a local page, run its script and give the document that results."""
    return _run(f"file://{path}", profile, "--dump-dom")


def screenshot(url: str, profile: str, target: str) -> None:
    """Open a page, wait until it has settled, and save what is seen of it as a PNG."""
    _run(
        url,
        profile,
        f"--screenshot={target}",
        "--window-size=1400,1000",
        f"--virtual-time-budget={_LOADING_MS}",
    )


def _run(url: str, profile: str, *arguments: str) -> str:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium or google-chrome on the PATH")
    finished = subprocess.run(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            f"--user-data-dir={profile}",
            *arguments,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return finished.stdout
