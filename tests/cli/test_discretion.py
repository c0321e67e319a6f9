from __future__ import annotations

import io
import sys
from pathlib import Path
from subprocess import run

import pytest

from acestep_fetch.cli.discretion import discreet, hide_tokens
from acestep_fetch.core.secrecy import scrubbed

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


LOGIN = "anna:p4ss%3Aw0rd1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--proxy", f"http://{LOGIN}@p:3128"],
        [f"--proxy=socks5://{LOGIN}@p"],
        ["--prox", f"{LOGIN}@p:3128"],
        ["-q", "--hf-endpoint", f"https://{LOGIN}@mirror/path"],
        [f"--ms-endpoint=https://{LOGIN}@mirror"],
    ],
)
def test_a_login_in_an_address_is_hidden_too(arguments: list[str]) -> None:
    given = ["prog", *arguments, "-d", "out"]
    hide_tokens(given)
    assert given == ["prog", *arguments, "-d", "out"]
    assert LOGIN not in repr(given)
    assert "p4ss" not in scrubbed(f"what is {LOGIN.partition(':')[2]}?")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--token-file", "name"],
        ["--dir", "total"],
        ["--skip-main", "-t"],
        ["--proxy", "http://p:3128"],
        ["--no-proxy", "a,b"],
        ["--proxy"],
        ["--model", "a@b"],
    ],
)
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
    given = ["-t", TOKEN, f"--proxy=http://{LOGIN}@p:1", "after"]
    ended = run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    shown = ["-t", "*" * len(TOKEN), f"--proxy=http://{'*' * len(LOGIN)}@p:1", "after"]
    assert ended.stdout.rstrip("\0\n").split("\0")[-4:] == shown


def test_a_stream_scrubs_and_is_itself_in_all_else() -> None:
    inner = io.StringIO()
    stream = discreet(inner)
    assert stream.write(f"a {TOKEN} b\n") == len(f"a {TOKEN} b\n")
    stream.writelines(["https://me:pass@host/?sig=1\n", "plain\n"])
    print("more", file=stream)
    assert inner.getvalue() == "a hf_*** b\nhttps://***@host/?***\nplain\nmore\n"
    assert stream.getvalue() == inner.getvalue()  # type: ignore[attr-defined]
    assert not stream.isatty()
