"""`launcher completion`: a script that lets the shell complete commands, options and jobs."""

import argparse
from dataclasses import dataclass

from launcher import commands
from launcher.context import Context

NAME = "completion"
HELP = "Print a completion script for bash, zsh or fish."
EPILOG = """Completes commands, options, their fixed values and the names of jobs for `launcher`,
the program that an installation puts on the path.

examples:
  source <(launcher completion bash)                    # in ~/.bashrc
  source <(launcher completion zsh)                     # in ~/.zshrc
  launcher completion fish > ~/.config/fish/completions/launcher.fish"""

_JOBS = "launcher list -o name 2>/dev/null"
_BASH = """\
_launcher() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="" word prefix=""
  for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD-1))}}"; do
    case " {commands} " in *" $word "*) command="$word"; break ;; esac
  done
  # Bash takes --backend=tfjob for three words, zsh for one.
  [[ "$current" == "=" ]] && current=""
  [[ "$previous" == "=" ]] && previous="${{COMP_WORDS[COMP_CWORD-2]}}"
  case "$current" in --*=*) previous="${{current%%=*}}" prefix="$previous=" current="${{current#*=}}" ;; esac
  COMPREPLY=()
  case "$command $previous" in
{values}
  esac
  [[ "$current" == -* ]] || case "$command" in
    {jobs}) COMPREPLY=($(compgen -W "$({list_jobs} | sed 's|.*/||')" -- "$current")) ;;
  esac
  [[ -n "${{COMPREPLY[*]}}" ]] || case "$command" in
    "") COMPREPLY=($(compgen -W "{commands} --help --version" -- "$current")) ;;
{options}
  esac
}}
complete -o default -F _launcher launcher
"""  # noqa: E501
_ZSH = """\
whence compdef >/dev/null || { autoload -Uz compinit && compinit }
autoload -Uz +X bashcompinit && bashcompinit
"""
_PATHS = ("PATH", "FILE", "FOLDER")
_JOB_ARGUMENTS = ("name", "job", "what", "run_or_job")


@dataclass(frozen=True)
class _Words:
    """What can be completed behind a command."""

    options: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    """The fixed values of an option, by each of its names."""
    choices: tuple[str, ...]
    """The fixed values of the command's own argument."""
    takes_job: bool
    files: tuple[str, ...]
    """The options whose value is a path."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the shell."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"),
                        help="bash, zsh or fish")  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the script."""
    words = {name: _words(name) for name in commands.names()}
    script = _fish(words) if args.shell == "fish" else _bash(words)
    context.output.stdout.write((_ZSH if args.shell == "zsh" else "") + script)
    return 0


def _words(name: str) -> _Words:
    """Read them from the command's own parser."""
    from launcher.cli import command_parser

    actions = command_parser(commands.load(name))._actions
    own = [action for action in actions if not action.option_strings]
    return _Words(
        options=tuple(
            option
            for action in actions
            for option in action.option_strings
            if option.startswith("--")
        ),
        values={
            option: tuple(map(str, action.choices))
            for action in actions
            if action.choices
            for option in action.option_strings
        },
        choices=tuple(str(choice) for action in own for choice in action.choices or ()),
        takes_job=any(action.dest in _JOB_ARGUMENTS for action in own),
        files=tuple(
            option
            for action in actions
            if action.metavar in _PATHS
            for option in action.option_strings
        ),
    )


def _bash(words: dict[str, _Words]) -> str:
    values = [
        f'    "{name} {option}")\n'
        f'      COMPREPLY=($(compgen -P "$prefix" -W "{" ".join(fixed)}" -- "$current"))\n'
        "      return ;;"
        for name, each in words.items()
        for option, fixed in each.values.items()
    ]  # fmt: skip
    options = [
        f"    {name}) COMPREPLY=($(compgen -W "
        f'"{" ".join((*each.choices, *each.options))}" -- "$current")) ;;'
        for name, each in words.items()
    ]
    return _BASH.format(
        commands=" ".join(words),
        values="\n".join(values),
        jobs="|".join(name for name, each in words.items() if each.takes_job),
        list_jobs=_JOBS,
        options="\n".join(options),
    )


def _fish(words: dict[str, _Words]) -> str:
    names = " ".join(words)
    lines = ["complete -c launcher -f"]
    for name, each in words.items():
        text = commands.load(name).HELP.replace("'", "\\'")
        lines.append(
            f"complete -c launcher -n 'not __fish_seen_subcommand_from {names}' -a {name} "
            f"-d '{text}'"
        )
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for option in each.options:
            fixed = each.values.get(option)
            values = f" -x -a '{' '.join(fixed)}'" if fixed else ""
            values = " -r -F" if option in each.files else values
            lines.append(f"complete -c launcher {seen} -l {option[2:]}{values}")
        lines += [f"complete -c launcher {seen} -a {word}" for word in each.choices]
        if each.takes_job:
            jobs = f"({_JOBS} | string replace -r '.*/' '')"
            lines.append(f'complete -c launcher {seen} -a "{jobs}"')
            path = "string match -q '*/*' -- (commandline -ct)"
            lines.append(
                f'complete -c launcher -n "__fish_seen_subcommand_from {name}; and {path}" -F'
            )
    return "\n".join(lines) + "\n"
