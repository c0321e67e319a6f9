"""fish: a line for each flag of each command, behind a question which command it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from acestep_fetch.cli.shells import PROGRAM, Models, first_clause, last_word
from acestep_fetch.cli.surface import Flag, Kind, Page, Value, every

_HEAD: Final = f"""\
# {PROGRAM}: completion for fish, printed by `{PROGRAM} completion fish`.

function __acestep_fetch_command
    set -l words (commandline -opc)
    if test (count $words) -lt 2; or string match -q -- '-*' $words[2]
        echo get
    else if test (count $words) -gt 2; and contains -- "$words[2] $words[3]" {{nested}}
        echo "$words[2] $words[3]"
    else
        echo $words[2]
    end
end

function __acestep_fetch_is
    test (__acestep_fetch_command) = "$argv"
end

function __acestep_fetch_at
    test (count (commandline -opc)) -eq $argv[1]
end

function __acestep_fetch_models
    printf '%s\\t%s\\n' \\
{{models}}
end

complete -c {PROGRAM} -e
complete -c {PROGRAM} -f
"""


def script(top: list[Page], models: Models) -> str:
    nested = " ".join(_quoted(child.name) for page in top for child in page.children)
    listed = " \\\n".join(f"        {_quoted(name)} {_quoted(about)}" for name, about in models)
    lines = (f"complete -c {PROGRAM} {line}\n" for line in _lines(top))
    return _HEAD.replace("{nested}", nested or "''").replace("{models}", listed) + "".join(lines)


def _lines(top: list[Page]) -> Iterator[str]:
    for page in top:
        yield f"-n '__acestep_fetch_at 1' -a {_quoted(page.name)} -d {_quoted(page.summary)}"
    for page in every(top):
        here = f"-n {_quoted(f'__acestep_fetch_is {page.name}')}"
        for flag in page.flags:
            yield f"{here}{_flag(flag)}"
        for child in page.children:
            yield f"{here} -a {_quoted(last_word(child))} -d {_quoted(child.summary)}"
        # bare words of `get` are the commands
        for argument in page.arguments[:1]:
            if offered := _offered(argument.value):
                yield f"{here}{offered}"


def _flag(flag: Flag) -> str:
    names = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in flag.names)
    takes = "" if not flag.value else " -r" if flag.value.kind is Kind.FILE else " -x"
    return f"{names}{takes}{_offered(flag.value) if flag.value else ''} -d {_quoted(first_clause(flag.about))}"


def _offered(value: Value) -> str:
    return {
        Kind.WORDS: f" -a {_quoted(' '.join(value.words))}",
        Kind.MODEL: " -a '(__acestep_fetch_models)'",
        Kind.FOLDER: " -a '(__fish_complete_directories)'",
        Kind.FILE: " -F",
        Kind.FREE: "",
    }[value.kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
