"""What a real shell offers at a TAB, and what a line becomes that is typed into it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.tools import installed

SHELLS = ("bash", "zsh", "fish")
_SECONDS = 60.0

# Replaces what hands candidates to zsh's line editor. ^O asks for every line of the file, and ends the shell.
_ZSH_ASKED = r"""
setopt no_auto_menu no_auto_list no_beep
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
    local -a hits
    builtin compadd -O hits "$@"
    (( $#hits )) && print -rl -- "= "$^hits
    builtin compadd "$@"
}
ask() {
    local line
    for line in ${(f)"$(<ASKED)"}; do
        print -r -- "? $line"
        BUFFER=$line CURSOR=$#line
        zle complete-word
    done > TOLD
    exit
}
zle -N ask
bindkey '^O' ask
"""
_START = {
    "bash": "bind 'set enable-bracketed-paste off'; source {script}; : > {ready}\n",
    "zsh": "autoload -Uz compinit; compinit -u -D; source {script}\n"
    "zle-line-init() {{ : > {ready} }}; zle -N zle-line-init\n",
    "fish": "source {script}; function fish_prompt; echo -n > {ready}; end\n",
}


def need(shell: str) -> None:
    if reason := installed(shell, shell):
        pytest.skip(reason)


def script_of(shell: str, folder: Path) -> Path:
    """The script that the program prints, in a file."""
    printed = subprocess.run(
        [sys.executable, "-m", "acestep_fetch", "completion", shell], capture_output=True, text=True, check=True
    )
    path = folder / f"completion.{shell}"
    path.write_text(printed.stdout)
    return path


def candidates(shell: str, script: Path, lines: Iterable[str]) -> dict[str, set[str]]:
    """What `shell` offers for the last word of each of `lines`."""
    told = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](script, list(lines))
    found = dict[str, set[str]]()
    for sign, _, text in (line.partition(" ") for line in told.splitlines()):
        if sign == "?":
            found[text] = hits = set()
            lead = text.rpartition(" ")[2].rpartition("=")
        elif text:  # fish says --flag=value where the others say the value
            hits.add(text.partition("\t")[0].removeprefix("".join(lead[:2])))
    return found


def typed(shell: str, script: Path, keys: str) -> list[str]:
    """The arguments that the program gets, when `keys` are typed into an interactive shell."""
    folder = script.parent / f"typed-{shell}"
    (folder / "bin").mkdir(parents=True)
    told = folder / "told"
    program = folder / "bin/acestep-fetch"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {told}.part && mv {told}.part {told}\n")
    program.chmod(0o755)
    start = _START[shell]
    with _interactive(shell, folder, start.format(script=script, ready=folder / "ready")) as (write, pump):
        pump(lambda: (folder / "ready").exists())
        write(keys + "\r")
        pump(told.exists)
    return told.read_text().splitlines()


def _bash(script: Path, lines: list[str]) -> str:
    asked = [f"source {script}"]
    for line in lines:
        words = [part for word in line.split(" ") for part in _around_equals(word)]
        asked.append(f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _acestep_fetch")
        asked.append(f"echo {shlex.quote(f'? {line}')}; printf '= %s\\n' \"${{COMPREPLY[@]}}\"")
    return _ran("bash", "--norc", "-c", "\n".join(asked))


def _around_equals(word: str) -> list[str]:
    """As readline breaks a word, with ``=`` among COMP_WORDBREAKS."""
    head, sign, tail = word.partition("=")
    return [word] if not sign else [head, sign] if not tail else [head, sign, tail]


def _fish(script: Path, lines: list[str]) -> str:
    asked = [f"echo {shlex.quote(f'? {line}')}; complete -C {shlex.quote(line)} | sed 's/^/= /'" for line in lines]
    return _ran("fish", "--no-config", "-c", "\n".join([f"source {script}", *asked]))


def _ran(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
    assert not ran.stderr, ran.stderr
    return ran.stdout


def _zsh(script: Path, lines: list[str]) -> str:
    folder = Path(tempfile.mkdtemp(dir=script.parent))
    asked, told, ready = folder / "asked", folder / "told", folder / "ready"
    asked.write_text("\n".join(lines))
    start = _START["zsh"].format(script=script, ready=ready)
    start += _ZSH_ASKED.replace("ASKED", str(asked)).replace("TOLD", str(told))
    with _interactive("zsh", folder, start) as (write, pump):
        pump(ready.exists)
        write("\x0f")
        pump(None)
    return told.read_text()


@contextmanager
def _interactive(
    shell: str, folder: Path, start: str
) -> Iterator[tuple[Callable[[str], None], Callable[[Callable[[], bool] | None], None]]]:
    """`shell` in a terminal of its own, that runs `start` first: what writes keys, and what takes the shell's output
    until something is so (None: until it ends)."""
    rc = folder / (".zshrc" if shell == "zsh" else "rc")
    rc.write_text(start)
    command = {
        "bash": ["bash", "--noprofile", "--rcfile", str(rc), "-i"],
        "zsh": ["zsh", "-d", "-i"],
        "fish": ["fish", "--no-config", "-i", "-C", f"source {rc}"],
    }[shell]
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "ZDOTDIR": str(folder),
        "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder), "TERM": "xterm", "LANG": "C.UTF-8",
    }  # fmt: skip
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # fish wants to be the one in front
    )  # fmt: skip
    os.close(theirs)
    output = bytearray()

    def write(keys: str) -> None:
        os.write(ours, keys.encode())

    def pump(until: Callable[[], bool] | None) -> None:
        deadline = time.monotonic() + _SECONDS
        while not (process.poll() is not None if until is None else until()):
            assert time.monotonic() < deadline, f"{shell} says: {bytes(output)!r}"
            if select.select([ours], [], [], 0.05)[0]:
                try:
                    output.extend(os.read(ours, 4096))
                except OSError:  # the terminal's other side is closed
                    process.wait(_SECONDS)

    try:
        yield write, pump
    finally:
        process.kill()
        process.wait()
        os.close(ours)
