"""What reaches the terminal: of escapes only the launcher's own."""

import io
import json

import pytest
import yaml

from launcher.output import Output

EVIL = "a\x1b]0;owned\x07\x1b[8mhidden\x9b2J\u202egnp"
SHOWN = r"a\x1b]0;owned\x07\x1b[8mhidden\x9b2J\u202egnp"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal() -> tuple[Output, Terminal, Terminal]:
    out, err = Terminal(), Terminal()
    return Output(out, err, {"TERM": "xterm"}), out, err


def test_every_way_to_the_terminal_escapes_names() -> None:
    output, out, err = terminal()
    output.print(f"{output.style('job', 'bold')} writes {EVIL}")
    output.facts([("run", EVIL)])
    output.table(["NAME"], [[EVIL], [output.style(EVIL, "red")]])
    for write in (output.note, output.warn, output.error, output.progress):
        write(EVIL)
    assert out.getvalue().count(SHOWN) == 4
    assert err.getvalue().count(SHOWN) == 4
    own = ("\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m", "\x1b[K")
    rest = out.getvalue() + err.getvalue()
    for style in own:
        rest = rest.replace(style, "")
    assert "\x1b" not in rest


def test_a_name_makes_no_lines_of_its_own() -> None:
    output, out, _ = terminal()
    output.table(["NAME"], [["a\nb"]])
    output.facts([("run", "a\nerror: forged")])
    assert len(out.getvalue().splitlines()) == 3


@pytest.mark.parametrize("output_format", ["json", "yaml"])
def test_documents_stay_what_they_are(output_format: str) -> None:
    output, out, _ = terminal()
    output.document({"name": EVIL}, output_format)
    text = out.getvalue()
    assert not any(character in text for character in "\x1b\x9b\u202e")
    assert (json.loads(text) if output_format == "json" else yaml.safe_load(text)) == {"name": EVIL}


@pytest.mark.parametrize("output_format", ["json", "yaml"])
def test_undecodable_names_can_be_printed(output_format: str) -> None:
    output, out, _ = terminal()
    output.document({"name": "a\udcff"}, output_format)
    out.getvalue().encode("utf-8")
