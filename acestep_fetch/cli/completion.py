"""``acestep-fetch completion SHELL``: a script that teaches a shell the command line. It calls nothing at a TAB."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from acestep_fetch.cli.arguments import command_parser


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "completion",
        "Prints a completion script for the shell. It is plain text and knows the models of this version: "
        "print it again after an update.",
        "  acestep-fetch completion bash > ~/.local/share/bash-completion/completions/acestep-fetch\n"
        '  acestep-fetch completion zsh > "${fpath[1]}/_acestep-fetch"\n'
        "  acestep-fetch completion fish > ~/.config/fish/completions/acestep-fetch.fish\n"
        "\n"
        'only for this terminal:  eval "$(acestep-fetch completion bash)", the same with zsh,\n'
        "or in fish:  acestep-fetch completion fish | source",
    )
    top.add_argument("shell", choices=["bash", "zsh", "fish"], metavar="SHELL", help="bash, zsh or fish")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    from acestep_fetch.cli.surface import model_names, pages

    script = import_module(f"acestep_fetch.cli.shells.{given.shell}").script
    print(script(pages(), model_names()), end="")
    return 0
