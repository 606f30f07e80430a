"""``netns-lab completion``: what a shell needs to complete the command, made from its parser.

One function for each shell: sub-commands, their options, and for arguments file names, scenarios or machines,
which the shell asks ``netns-lab completion --words KIND`` for while one types.
"""

import argparse

from netns_lab.cli.parsers import Commands
from netns_lab.control import labs
from netns_lab.scenarios import SCENARIOS
from netns_lab.topology import TOPOLOGIES
from re6st_core.errors import Re6stError

# What the positional arguments of the sub-commands mean, by the name shown in the help.
_KINDS = {
    "NAME": "scenarios",
    "FILE|NAME": "topologies",
    "LAB": "labs",
    "[LAB:]MACHINE": "machines",
    "[LAB:]A": "machines",
    "A": "machines",
    "B": "machines",
    "NODE": "machines",
}


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    completion = commands.add_parser("completion", help="print what a shell needs to complete netns-lab")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), nargs="?", default="bash")
    completion.add_argument("--words", choices=sorted(set(_KINDS.values())), help=argparse.SUPPRESS)
    completion.set_defaults(
        command=lambda arguments: _completion(arguments, commands.choices), unprivileged=True
    )


def _completion(arguments: argparse.Namespace, choices: dict[str, argparse.ArgumentParser]) -> int:
    if arguments.words:
        print("\n".join(words(arguments.words)))
        return 0
    print(script(arguments.shell, choices))
    return 0


def words(kind: str) -> list[str]:
    """What can stand at the place of an argument; nothing when it can't be told."""
    match kind:
        case "scenarios":
            return list(SCENARIOS)
        case "topologies":
            return sorted(file.stem for file in TOPOLOGIES.glob("*.toml"))
        case "labs":
            return [record.label for record in labs.running()]
    try:
        return labs.machine_names(labs.find(None))
    except Re6stError:  # none, or several
        return [f"{lab.label}:{name}" for lab in labs.running() for name in labs.machine_names(lab)]


def script(shell: str, choices: dict[str, argparse.ArgumentParser]) -> str:
    """The text for a shell's start-up file."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](choices)


def _options(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """The long options of a sub-command, each with its help."""
    return [
        (option, action.help or "")
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and action.help != argparse.SUPPRESS
    ]


def _kind(parser: argparse.ArgumentParser) -> str | None:
    """What the sub-command's arguments are; None: files."""
    for action in parser._actions:
        if not action.option_strings and isinstance(action.metavar, str) and action.metavar in _KINDS:
            return _KINDS[action.metavar]
    return None


def _bash(choices: dict[str, argparse.ArgumentParser]) -> str:
    cases = []
    for name, parser in choices.items():
        options = " ".join(option for option, _ in _options(parser))
        kind = _kind(parser)
        more = f'words="$(netns-lab completion --words {kind} 2>/dev/null)"' if kind else "words="
        cases.append(f"        {name}) options='{options}'; {more} ;;")
    listed = "\n".join(cases)
    return f"""# netns-lab completion bash >/etc/bash_completion.d/netns-lab
_netns_lab() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" options words
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W '{" ".join(choices)}' -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{listed}
        *) return ;;
    esac
    case "$current" in
        -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
        *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    esac
}}
complete -o default -F _netns_lab netns-lab"""


def _zsh(choices: dict[str, argparse.ArgumentParser]) -> str:
    # zsh runs bash's function as it is.
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(choices)


def _fish(choices: dict[str, argparse.ArgumentParser]) -> str:
    lines = ["# netns-lab completion fish >~/.config/fish/completions/netns-lab.fish"]
    for name, parser in choices.items():
        lines.append(f"complete -c netns-lab -n __fish_use_subcommand -f -a {name}")
        inside = f"-n '__fish_seen_subcommand_from {name}'"
        kind = _kind(parser)
        if kind:
            lines.append(f"complete -c netns-lab {inside} -a '(netns-lab completion --words {kind})'")
        lines += [
            f"complete -c netns-lab {inside} -l {option[2:]} -d '{help_.replace(chr(39), chr(8217))}'"
            for option, help_ in _options(parser)
        ]
    return "\n".join(lines)
