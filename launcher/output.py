"""What the launcher writes: results on stdout, everything else on stderr.

Colour and box-free aligned tables as kubectl prints them; colour only on a terminal. Text that
comes from a cluster or a bucket may hold terminal escapes: here, and only here, everything that is
written is made printable, and of escapes only those of `Output.style` are left.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from job.contract.wording import printable, printable_json

_STYLES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35", "cyan": "36",
}  # fmt: skip
_OWN_STYLE = re.compile(r"\x1b\[(?:0|(?:[12]|3[1-6])(?:;(?:[12]|3[1-6]))*)m")
"""What `Output.style` can write, and nothing that hides text or moves the cursor."""


class Output:
    """The two streams of a command."""

    def __init__(self, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> None:
        self.stdout = stdout
        self.stderr = stderr
        plain = "NO_COLOR" in environ or environ.get("TERM") == "dumb"
        self.is_terminal = stdout.isatty()
        self.color = self.is_terminal and not plain
        self._stderr_color = stderr.isatty() and not plain
        self._line_is_open = False

    def print(self, text: str = "") -> None:
        """Write a line of the result."""
        self.stdout.write(self._shown(text) + "\n")

    def _shown(self, text: str) -> str:
        if not self.color:
            return printable(text)
        own = [found[0] for found in _OWN_STYLE.finditer(text)]
        parts = [printable(part) for part in _OWN_STYLE.split(text)]
        return "".join(part + style for part, style in zip(parts, [*own, ""], strict=True))

    def note(self, text: str) -> None:
        """Write a line about what happens; scripts that read stdout do not see it."""
        self._end_line()
        self.stderr.write(printable(text) + "\n")
        self.stderr.flush()

    def progress(self, text: str) -> None:
        """Write a line that the next one replaces on a terminal, and that stays elsewhere."""
        if not self.stderr.isatty():
            self.note(text)
            return
        self._line_is_open = True
        self.stderr.write(f"\r{printable(text)}\x1b[K")
        self.stderr.flush()

    def _end_line(self) -> None:
        if self._line_is_open:
            self.stderr.write("\n")
            self._line_is_open = False

    def warn(self, text: str) -> None:
        """Write a warning."""
        self._labelled("warning", "33", text)

    def error(self, text: str) -> None:
        """Write the line that says why the command ends; `launcher/cli.py` alone calls this."""
        self._labelled("error", "31", text)

    def _labelled(self, label: str, style: str, text: str) -> None:
        self._end_line()
        shown = f"\x1b[{style}m{label}:\x1b[0m" if self._stderr_color else f"{label}:"
        self.stderr.write(f"{shown} {printable(text)}\n")
        self.stderr.flush()

    def style(self, text: str, *names: str) -> str:
        """Colour a printable text for stdout, or give it as it is without a terminal."""
        text = printable(text)
        if not self.color or not names:
            return text
        return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[0m"

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Write (name, text) below a heading: names dim and in one column."""
        rows = list(rows)
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            self.print(
                f"  {self.style(f'{name:<{width}}', 'dim')}  {self.style(_on_one_line(text))}"
            )

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write aligned columns under a header, three spaces apart, as kubectl does."""
        lines = [[_on_one_line(str(cell)) for cell in line] for line in (header, *rows)]
        widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
        for number, line in enumerate(lines):
            cells = [
                cell + " " * (width - _width(cell))
                for cell, width in zip(line, widths, strict=True)
            ]
            text = "   ".join(cells).rstrip()
            self.print(self.style(text, "bold") if number == 0 else text)

    def document(self, data: Any, output_format: str) -> None:
        """Write plain data as `json` or `yaml`."""
        if output_format == "json":
            text = json.dumps(data, indent=2, ensure_ascii=False)
            self.stdout.write(printable_json(text) + "\n")
            return
        from launcher.manifests import yaml_text

        self.stdout.write(yaml_text.dump(data))

    def documents(self, manifests: Sequence[Any], output_format: str) -> None:
        """Write manifests so that `kubectl apply -f -` takes them."""
        if output_format == "json":
            many = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
            self.document(manifests[0] if len(manifests) == 1 else many, "json")
            return
        from launcher.manifests import yaml_text

        self.stdout.write(yaml_text.dump_all(manifests))


def _on_one_line(cell: str) -> str:
    return cell.replace("\n", "\\n").replace("\t", "\\t")


def _width(cell: str) -> int:
    return len(_OWN_STYLE.sub("", cell))
