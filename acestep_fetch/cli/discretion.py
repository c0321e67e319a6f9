"""What others could see of a secret: in the command line that `ps` shows, and in what Python itself writes to stderr
(tracebacks, warnings, logs, usage errors that quote an argument)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO, cast

from acestep_fetch.core.secrecy import Secret, remember, scrubbed

_TOKEN: Final = re.compile(r"-[alfnqv]*t=?(.*)|--token(?:=(.*))?", re.DOTALL)  # `-t` may follow flags without a value
_PROXY: Final = re.compile(r"--proxy?(?:=(.*))?", re.DOTALL)  # argparse takes the beginning of a name, too


class _Discreet:
    """In everything but what is written the stream that it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(scrubbed(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def discreet(stream: TextIO) -> TextIO:
    """`stream`, whose readers see no secret. What goes past Python's text layer is not looked at."""
    return cast("TextIO", _Discreet(stream))


def hide_tokens(arguments: list[str]) -> None:
    """Puts a `Secret` in the place of each token and proxy of a command line, and asterisks into the copy that `ps`
    shows: for the token, and for the user and password of an address."""
    tokens, waiting = list[str](), ""
    for at, argument in enumerate(arguments):
        kind, value = (waiting, argument) if waiting else _value(argument)
        waiting = "" if value else kind
        if not value:
            continue
        hidden = value if kind == "token" else value.rpartition("@")[0].rpartition("://")[2]
        if hidden:
            tokens.append(remember(hidden))
            arguments[at] = Secret(argument)
        if kind == "proxy":
            remember(hidden.partition(":")[2])
    if tokens:
        _hide_from_ps([token.encode("utf-8", "surrogateescape") for token in tokens])


def _value(argument: str) -> tuple[str, str]:
    """Whether it is a flag of a token or a proxy, and the value that is part of it. Another text with a login in it is
    taken for a proxy's address."""
    if match := _TOKEN.fullmatch(argument):
        return "token", match[1] or match[2] or ""
    if match := _PROXY.fullmatch(argument):
        return "proxy", match[1] or ""
    return ("proxy", argument) if "://" in argument and "@" in argument else ("", "")


def _hide_from_ps(tokens: Sequence[bytes]) -> None:
    """On Linux a process may write into its own arguments, as curl does. Elsewhere, and where that is forbidden, they
    stay: the help says that a file is better."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        start, stop = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            arguments = memory.read(stop - start)
            for token in tokens:
                arguments = arguments.replace(token, b"*" * len(token))
            memory.seek(start)
            memory.write(arguments)
    except (OSError, ValueError, IndexError):
        return
