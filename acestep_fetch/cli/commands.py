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


# In the order of the overview, which is read column by column.
COMMANDS: Final = (
    Command("get", "get", "make models ready"),
    Command("plan", "plan", "what get would do"),
    Command("adopt", "adopt", "take what is on this disk"),
    Command("recommend", "recommend", "models for this GPU"),
    Command("list", "listing", "the models, what is here"),
    Command("status", "status", "what runs, what is left"),
    Command("wait", "wait", "until models are ready"),
    Command("verify", "verify", "compare with the digests"),
    Command("repair", "repair", "fetch what is damaged"),
    Command("doctor", "doctor", "what is wrong, what to do"),
    Command("clean", "clean", "drop unfinished downloads"),
    Command("lock", "lock", "write down what is fetched"),
    Command("sums", "sums", "digests for sha256sum -c"),
    Command("bundle", "bundle", "for boxes without network"),
    Command("config", "config", "what is set, and where"),
    Command("serve", "serve", "share models on the LAN"),
    Command("completion", "completion", "TAB in bash, zsh and fish"),
    Command("version", "version", "versions, for bug reports"),
)
BY_NAME: Final = {command.name: command for command in COMMANDS}
