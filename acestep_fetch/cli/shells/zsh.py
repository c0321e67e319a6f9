"""zsh: `_arguments` knows flags, stacked letters and what excludes what; we tell it which command it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from acestep_fetch.cli.shells import PROGRAM, Models, first_clause, last_word, quoted
from acestep_fetch.cli.surface import Flag, Kind, Page, Value, every

_HEAD: Final = f"""\
#compdef {PROGRAM}
# {PROGRAM}: completion for zsh, printed by `{PROGRAM} completion zsh`.
"""
_CHOOSE: Final = f"""
_{PROGRAM}() {{
    local command=get
    if [[ $words[2] != -* ]]; then
        if (( CURRENT == 2 )); then _{PROGRAM}_commands; return; fi
        command=$words[2]
        shift words
        (( CURRENT-- ))
    fi
"""
_NEST: Final = """\
    if (( CURRENT > 2 )) && [[ " $nested " == *" $command:$words[2] "* ]]; then
        command+=" $words[2]"
        shift words
        (( CURRENT-- ))
    fi
"""
# The file is either what `fpath` leads to, and then called for a completion, or it is sourced.
_FOOT: Final = f"""\
    esac
}}

if [[ $funcstack[1] == _{PROGRAM} ]]; then
    _{PROGRAM} "$@"
else
    compdef _{PROGRAM} {PROGRAM}
fi
"""


def script(top: list[Page], models: Models) -> str:
    return "".join(
        [
            _HEAD,
            _function("models", "model", models),
            _function("commands", "command", [(page.name, page.summary) for page in top]),
            *(
                _function(page.name, "command", [(last_word(child), child.summary) for child in page.children])
                for page in top
                if page.children
            ),
            _CHOOSE,
            *_nesting(top),
            "    case $command in\n",
            *(f"    {line}\n" for page in every(top) for line in _page(page)),
            _FOOT,
        ]
    )


def _function(name: str, tag: str, entries: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"        {quoted(f'{word}:{about}')}\n" for word, about in entries)
    return f"\n_{PROGRAM}_{name}() {{\n    local -a them=(\n{lines}    )\n    _describe -t {tag}s {tag} them\n}}\n"


def _nesting(top: list[Page]) -> Iterator[str]:
    if nested := [child.name.replace(" ", ":") for page in top for child in page.children]:
        yield f"    local nested='{' '.join(nested)}'\n{_NEST}"


def _page(page: Page) -> Iterator[str]:
    specs = [spec for flag in page.flags for spec in _flag(flag)]
    for argument in page.arguments:
        value = argument.value
        lead = "*" if value.many else ":" if value.optional else ""
        specs.append(quoted(f"{lead}:{value.name}:{_action(value)}"))
    if page.children:
        specs.append(quoted(f":command:_{PROGRAM}_{page.name}"))
    yield f"    {quoted(page.name)})"
    yield "        _arguments -s \\"
    yield from (f"            {spec} \\" for spec in specs[:-1])
    yield f"            {specs[-1]} ;;"


def _flag(flag: Flag) -> Iterator[str]:
    """One specification for each name; a flag that may be given once excludes its other names."""
    value = flag.value
    lead = "*" if value and value.many else f"({' '.join(flag.names)})" if len(flag.names) > 1 else ""
    about = first_clause(flag.about).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    for name in flag.names:
        joined = "" if not value else "=" if name.startswith("--") else "+"
        takes = f"{'::' if value.optional else ':'}{value.name}:{_action(value)}" if value else ""
        yield quoted(f"{lead}{name}{joined}[{about}]{takes}")


def _action(value: Value) -> str:
    return {
        Kind.WORDS: f"({' '.join(value.words)})",
        Kind.MODEL: f"_{PROGRAM}_models",
        Kind.FOLDER: "_files -/",
        Kind.FILE: "_files",
        Kind.FREE: " ",  # says what belongs here, and offers nothing
    }[value.kind]
