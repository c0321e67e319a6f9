"""The subcommands, as data: the help, the shell completions, the manual page and the dispatcher read this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Command:
    """`module` is one of this package, with `parser()` and `run(arguments) -> exit code`; it is imported only when the
    command is asked for."""

    name: str
    module: str
    summary: str  # at most 27 characters: two commands share a line of the overview
    answers: bool = False  # ``--json`` with one document, and not with a stream of events


# In the order of the overview, which is read column by column.
COMMANDS: Final = (
    Command("get", "get", "make models ready"),
    Command("plan", "plan", "what get would do", answers=True),
    Command("adopt", "adopt", "take what is on this disk", answers=True),
    Command("recommend", "recommend", "models for this GPU", answers=True),
    Command("list", "listing", "the models, what is here", answers=True),
    Command("status", "status", "what runs, what is left", answers=True),
    Command("wait", "wait", "until models are ready"),
    Command("verify", "verify", "compare with the digests", answers=True),
    Command("repair", "repair", "fetch what is damaged"),
    Command("doctor", "doctor", "what is wrong, what to do", answers=True),
    Command("clean", "clean", "drop unfinished downloads", answers=True),
    Command("lock", "lock", "write down what is fetched"),
    Command("sums", "sums", "digests for sha256sum -c"),
    Command("bundle", "bundle", "for boxes without network"),
    Command("config", "config", "what is set, and where", answers=True),
    Command("serve", "serve", "share models on the LAN"),
    Command("completion", "completion", "TAB in bash, zsh and fish"),
    Command("version", "version", "versions, for bug reports", answers=True),
)
BY_NAME: Final = {command.name: command for command in COMMANDS}
