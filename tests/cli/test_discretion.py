from __future__ import annotations

import io
import sys
from pathlib import Path
from subprocess import run

import pytest

from acestep_fetch.cli.discretion import discreet, hide_tokens

TOKEN = "hf_h1ddenFromAll42"


@pytest.mark.parametrize(
    "arguments",
    [["--token", TOKEN], [f"--token={TOKEN}"], ["-t", TOKEN], [f"-t{TOKEN}"], ["-qvt", TOKEN], [f"-vt{TOKEN}", "-n"]],
)
def test_a_token_is_hidden_however_it_is_given(arguments: list[str]) -> None:
    given = ["prog", *arguments, "--model", "main"]
    hide_tokens(given)
    assert given == ["prog", *arguments, "--model", "main"]
    assert TOKEN not in repr(given)


@pytest.mark.parametrize("arguments", [["--token-file", "name"], ["--dir", "total"], ["--skip-main", "-t"], []])
def test_everything_else_is_left_alone(arguments: list[str]) -> None:
    given = list(arguments)
    hide_tokens(given)
    assert repr(given) == repr(arguments)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux's /proc")
def test_ps_shows_asterisks() -> None:
    code = (
        "import sys; from acestep_fetch.cli.discretion import hide_tokens; hide_tokens(sys.argv);"
        "print(open('/proc/self/cmdline').read())"
    )
    ended = run([sys.executable, "-c", code, "-t", TOKEN, "after"], capture_output=True, text=True, check=True)
    assert ended.stdout.rstrip("\0\n").split("\0")[-3:] == ["-t", "*" * len(TOKEN), "after"]


def test_a_stream_scrubs_and_is_itself_in_all_else() -> None:
    inner = io.StringIO()
    stream = discreet(inner)
    assert stream.write(f"a {TOKEN} b\n") == len(f"a {TOKEN} b\n")
    stream.writelines(["https://me:pass@host/?sig=1\n", "plain\n"])
    print("more", file=stream)
    assert inner.getvalue() == "a hf_*** b\nhttps://***@host/?***\nplain\nmore\n"
    assert stream.getvalue() == inner.getvalue()  # type: ignore[attr-defined]
    assert not stream.isatty()
