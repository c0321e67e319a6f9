"""``make reference``: writes ``docs/cli.md`` and ``docs/acestep-fetch.1`` from the parsers of the program.

What every command has in common (exit codes, the environment) comes from the tables of the README. Every command of
`COMMANDS` is in both; a test holds the committed files against what this would write.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from acestep_fetch import __version__
from acestep_fetch.cli.overview import overview
from acestep_fetch.cli.surface import Flag, Kind, Page, Value, every, pages

ROOT = Path(__file__).parents[1]
PROGRAM = "acestep-fetch"
WRITTEN = f"Written by `make reference` from the program's own parsers (version {__version__})."

Table = list[list[str]]


def files() -> dict[Path, str]:
    """What is written, and where."""
    return {ROOT / "docs/cli.md": markdown(), ROOT / f"docs/{PROGRAM}.1": manual()}


def main() -> int:
    for path, text in files().items():
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def table_below(heading: str) -> Table:
    """The cells of the first table below ``## heading``, in the README or else in another page; without its head."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        _, found, below = page.read_text("utf-8").partition(f"\n## {heading}\n")
        if found:
            rows = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
            return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    raise LookupError(f"no page has a section {heading!r}")


# As a page of the documentation


def markdown() -> str:
    return "\n".join([*_markdown(pages())]) + "\n"


def _markdown(top: list[Page]) -> Iterator[str]:
    yield "# Command line"
    yield f"\n{WRITTEN}\nThe same as a manual page: `man -l docs/{PROGRAM}.1`.\n"
    yield f"```\n{overview()}```\n"
    yield "Flags without a command are those of `get`, and every command has `--help`. Exit codes and environment:"
    yield "[README](../README.md).\n"
    yield "| command | |\n|---|---|"
    for page in every(top):
        yield f"| [`{page.name}`](#{_anchor(page)}) | {_cell(page.summary)} |"
    for page in every(top):
        yield from _section(page)


def _section(page: Page) -> Iterator[str]:
    yield f"\n## {PROGRAM} {page.name}"
    if page.description:
        yield f"{page.description}\n"
    yield f"```\n{synopsis(page)}\n```"
    if page.arguments:
        yield "\n| argument | |\n|---|---|"
        for argument in page.arguments:
            yield f"| `{argument.value.name}` | {_cell(argument.about or _kind(argument.value))} |"
    for title, flags in told(page):
        yield f"\n| {_cell(title)} | |\n|---|---|"
        for flag in flags:
            yield f"| `{_cell(spelled(flag))}` | {_cell(_described(flag))} |"
    if page.epilog:
        yield f"\n```\n{page.epilog}\n```"


def _anchor(page: Page) -> str:
    return f"{PROGRAM}-{page.name.replace(' ', '-')}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# What both have


def told(page: Page) -> list[tuple[str, list[Flag]]]:
    """The groups with their flags, without ``--help``, which every command has."""
    groups = [(group.title, [flag for flag in group.flags if "--help" not in flag.names]) for group in page.groups]
    return [(title, flags) for title, flags in groups if flags]


def synopsis(page: Page) -> str:
    words = [PROGRAM, page.name if page.name != "get" else "[get]"]
    words += ["COMMAND"] if page.children else []
    words += ["[FLAGS]"] if told(page) else []
    return " ".join([*words, *(_bare(argument.value) for argument in page.arguments)])


def _bare(value: Value) -> str:
    name = f"{value.name} ..." if value.many else value.name
    return f"[{name}]" if value.optional else name


def spelled(flag: Flag) -> str:
    value = flag.value
    return ", ".join(flag.names) + (f" {f'[{value.name}]' if value.optional else value.name}" if value else "")


def _described(flag: Flag) -> str:
    value = flag.value
    listed = f" ({', '.join(value.words)})" if value and value.words else ""
    return flag.about + ("" if all(word in flag.about for word in value.words) else listed) if value else flag.about


def _kind(value: Value) -> str:
    return ", ".join(value.words) if value.kind is Kind.WORDS else "" if value.kind is Kind.FREE else value.kind.value


# As a manual page


def manual() -> str:
    return "\n".join([*_manual(pages())]) + "\n"


def _manual(top: list[Page]) -> Iterator[str]:
    yield f'.\\" {WRITTEN}'
    yield f'.TH ACESTEP\\-FETCH 1 "{_date()}" "{PROGRAM} {__version__}" "User Commands"'
    yield f".SH NAME\n{_roff(PROGRAM)} \\- ACE\\-Step checkpoints from Hugging Face and ModelScope at once"
    yield ".SH SYNOPSIS"
    yield ".nf"
    for page in every(top):
        yield f".B {_roff(synopsis(page))}"
    yield ".fi"
    yield ".SH DESCRIPTION"
    yield _paragraph(
        f"{top[0].description} The same command again continues where it stopped, and does nothing once "
        "all is there. Flags without a command are those of get. Every command has --help."
    )
    yield ".SH COMMANDS"
    for page in every(top):
        yield from _subsection(page)
    yield from _listed("EXIT STATUS", [[code, _again(*rest)] for code, *rest in table_below("Exit codes")])
    yield from _listed("ENVIRONMENT", table_below("Environment"))
    yield ".SH FILES\n.TP\n.I checkpoints/\nThe models, a folder for each."
    yield ".TP\n.I checkpoints/.acestep\\-fetch/\nWhat is not finished, and the records of what is."
    yield ".SH SEE ALSO\n.BR curl (1),\n.BR sha256sum (1)"


def _subsection(page: Page) -> Iterator[str]:
    yield f".SS {_roff(page.name)}"
    if page.description:
        yield _paragraph(page.description)
    for argument in page.arguments:
        yield f".TP\n.I {_roff(argument.value.name)}\n{_paragraph(argument.about or _kind(argument.value))}"
    for flag in (flag for _, flags in told(page) for flag in flags):
        yield f".TP\n.B {_roff(spelled(flag))}\n{_paragraph(_described(flag))}"
    if page.epilog:
        yield f".PP\n.nf\n{_roff(page.epilog)}\n.fi"


def _listed(title: str, rows: Table) -> Iterator[str]:
    yield f".SH {title}"
    for term, *rest in rows:
        yield f".TP\n.B {_roff(_plain(term))}\n{_paragraph(_plain(' '.join(rest)))}"


def _again(meaning: str, retry: str) -> str:
    return meaning + (f" (run again: {retry})" if retry else "")


def _plain(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "").replace("\\|", "|")


def _paragraph(text: str) -> str:
    return _roff(textwrap.fill(text, 72, break_long_words=False, break_on_hyphens=False))


def _roff(text: str) -> str:
    """Text that roff shows as it is: no escapes, dashes that can be copied, no line that is taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    escaped = re.sub(r"\b[A-Z]+_[A-Z_]+", r"\\%\g<0>", escaped)  # a variable is not hyphenated
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.splitlines())


def _date() -> str:
    """Of the newest release in the CHANGELOG, so that nothing here depends on the day."""
    dated = re.search(r"\d{4}-\d{2}-\d{2}", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    return dated[0] if dated else ""


if __name__ == "__main__":
    sys.exit(main())
