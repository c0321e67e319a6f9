"""``acestep-fetch --help``: everything at a glance, on one screen of 24 lines. `get --help` has every flag."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from acestep_fetch.cli.commands import COMMANDS, Command

_TOP: Final = """\
usage: acestep-fetch [COMMAND] [FLAGS]

ACE-Step checkpoints from Hugging Face and ModelScope at once, all bytes proven.

  acestep-fetch                           the main model, into ./checkpoints
  acestep-fetch --model acestep-v15-sft   another one (and main, if missing)
  acestep-fetch --all | --list            every model | what there is
  acestep-fetch --prefer-source SOURCE    huggingface, modelscope or auto

"""
_END: Final = "\nall flags: acestep-fetch get --help    one command: acestep-fetch COMMAND --help\n"


def overview() -> str:
    """The text, at most 80 columns wide."""
    half = -(-len(COMMANDS) // 2)
    rows = zip_longest(COMMANDS[:half], COMMANDS[half:])
    return _TOP + "".join(f"{_cell(left):<40}{_cell(right)}".rstrip() + "\n" for left, right in rows) + _END


def _cell(command: Command | None) -> str:
    return f"  {command.name:<11}{command.summary}" if command else ""
