"""`launcher completion`: a script that lets the shell complete commands and options."""

import argparse

from launcher import commands
from launcher.context import Context

NAME = "completion"
HELP = "Print a completion script for bash, zsh or fish."
EPILOG = """examples:
  source <(python -m launcher completion bash)
  python -m launcher completion fish > ~/.config/fish/completions/launcher.fish"""

_BASH = """\
_launcher() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" command="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " {commands} " in *" $word "*) command="$word"; break ;; esac
  done
  case "$command" in
    "") COMPREPLY=($(compgen -W "{commands} --help --version" -- "$current")) ;;
{cases}
  esac
  [[ -n "${{COMPREPLY[*]}}" ]] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _launcher launcher
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the shell."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"),
                        help="bash, zsh or fish")  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the script."""
    options = {name: _options(name) for name in commands.names()}
    script = _fish(options) if args.shell == "fish" else _bash(options)
    context.output.stdout.write((_ZSH if args.shell == "zsh" else "") + script)
    return 0


def _options(name: str) -> list[str]:
    """Name the long options and the fixed choices of a command."""
    from launcher.cli import command_parser

    words: list[str] = []
    for action in command_parser(commands.load(name))._actions:
        words += [option for option in action.option_strings if option.startswith("--")]
        if not action.option_strings and action.choices:
            words += [str(choice) for choice in action.choices]
    return words


def _bash(options: dict[str, list[str]]) -> str:
    cases = [
        f'    {name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current")) ;;'
        for name, words in options.items()
    ]
    return _BASH.format(commands=" ".join(options), cases="\n".join(cases))


def _fish(options: dict[str, list[str]]) -> str:
    names = " ".join(options)
    lines = ["complete -c launcher -f"]
    for name, words in options.items():
        text = commands.load(name).HELP.replace("'", "\\'")
        lines.append(
            f"complete -c launcher -n 'not __fish_seen_subcommand_from {names}' -a {name} "
            f"-d '{text}'"
        )
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        lines += [
            f"complete -c launcher {seen} -l {word[2:]}"
            if word.startswith("--")
            else f"complete -c launcher {seen} -a {word}"
            for word in words
        ]
    return "\n".join(lines) + "\n"
