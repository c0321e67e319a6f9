"""``.env`` as ACE-Step documents it, read conservatively: ``KEY=VALUE`` lines, ``export``, quotes and comments.

No ``$NAME`` is replaced, no value has several lines, and a line that is something else is passed over: the file belongs
to another program, which may know more. python-dotenv reads more than is wanted here, for one more dependency.
"""

from __future__ import annotations

import re
from typing import Final

from acestep_fetch.configuration.layers import Entry

_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED: Final = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?""")
_ESCAPED: Final = re.compile(r'\\(["\\$`])')


def parse(text: str) -> dict[str, Entry]:
    """The names and what they are set to; the last of two lines counts, and what is set to nothing is not set."""
    found = dict[str, Entry]()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if match := _LINE.fullmatch(line):
            found[match[1]] = Entry((_value(match[2].strip()),), number)
    return {name: entry for name, entry in found.items() if entry.texts[0]}


def _value(written: str) -> str:
    if match := _QUOTED.fullmatch(written):
        return match[2] if match[1] is None else _ESCAPED.sub(r"\1", match[1])
    if written.startswith("#"):
        return ""
    return re.split(r"\s+#", written, maxsplit=1)[0].rstrip()
