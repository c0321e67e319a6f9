"""bash, from 3.2 on (macOS): no associative arrays, no `mapfile`, `compopt` where it exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from acestep_fetch.cli.shells import PROGRAM, Models, last_word
from acestep_fetch.cli.surface import Kind, Page, Value, every

_HEAD: Final = f"""\
# {PROGRAM}: completion for bash, printed by `{PROGRAM} completion bash`.

_acestep_fetch() {{
    local IFS=$' \\t\\n' command=get kind=words words= line
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    # bash makes three words of --flag=value
    if [[ $word == = ]]; then word=
    elif [[ $before == = ]]; then before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    if ((COMP_CWORD > 1)) && [[ ${{COMP_WORDS[1]}} != -* ]]; then command=${{COMP_WORDS[1]}}; fi
"""
_FOOT: Final = f"""\
    COMPREPLY=()
    case $kind in
        words) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        folder | file)
            compopt -o filenames 2>/dev/null
            [[ $kind == folder ]] && kind=-d || kind=-f
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen $kind -- "$word")
            ;;
    esac
}}
complete -F _acestep_fetch {PROGRAM}
"""


def script(top: list[Page], models: Models) -> str:
    names = " ".join(name for name, _ in models)
    return "".join([_HEAD, *(f"    {line}\n" for line in _body(top, names)), _FOOT])


def _body(top: list[Page], models: str) -> Iterator[str]:
    if nested := [child.name for page in top for child in page.children]:
        yield 'if ((COMP_CWORD > 2)); then case "$command ${COMP_WORDS[2]}" in'
        yield f'    {" | ".join(map(_quoted, nested))}) command+=" ${{COMP_WORDS[2]}}" ;;'
        yield "esac; fi"
    yield "if [[ $word == -* ]]; then case $command in"
    for page in every(top):
        flags = " ".join(name for flag in page.flags for name in flag.names)
        yield f"    {_quoted(page.name)}) words='{flags}' ;;"
    yield 'esac; else case "$command $before" in'
    for does, patterns in _by_action(top, models).items():
        yield f"    {' | '.join(map(_quoted, patterns))}) {does} ;;"
    yield "    *) if ((COMP_CWORD == 1)); then"
    yield f"        words='{' '.join(page.name for page in top)}'"
    yield "    else case $command in"
    for page in every(top):
        yield f"        {_quoted(page.name)}) {_bare(page, models)} ;;"
    yield "    esac; fi ;;"
    yield "esac; fi"


def _by_action(top: list[Page], models: str) -> dict[str, list[str]]:
    """What completes a flag's value, and the flags it is for, each behind its command."""
    found = dict[str, list[str]]()
    for page in every(top):
        for flag in page.flags:
            if flag.value:
                found.setdefault(_action(flag.value, models), []).extend(f"{page.name} {name}" for name in flag.names)
    return found


def _bare(page: Page, models: str) -> str:
    """What completes a word that is neither a flag nor a flag's value."""
    if page.children:
        return f"words='{' '.join(map(last_word, page.children))}'"
    return _action(page.arguments[0].value, models) if page.arguments else "kind="


def _action(value: Value, models: str) -> str:
    return {
        Kind.WORDS: f"words='{' '.join(value.words)}'",
        Kind.MODEL: f"words='{models}'",
        Kind.FOLDER: "kind=folder",
        Kind.FILE: "kind=file",
        Kind.FREE: "kind=",
    }[value.kind]


def _quoted(pattern: str) -> str:
    return f'"{pattern}"'
