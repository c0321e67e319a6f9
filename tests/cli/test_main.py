"""The command line in-process: documented flags, wrong flags, and what is said about them."""

from __future__ import annotations

import io
import json
import re
import socket
import sys
from pathlib import Path

import pytest

from acestep_fetch import __version__
from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.cli import get
from acestep_fetch.cli import main as program
from acestep_fetch.cli.arguments import options_of
from acestep_fetch.cli.commands import COMMANDS
from acestep_fetch.cli.listing import _HEADS, table
from acestep_fetch.cli.surface import every, pages
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import Lock
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lockfile import write_lock
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt
from tests.cli.conftest import Ended, Run

SECRET = "hf_SECRETsecretSECRETsecret"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_fits_a_screen_of_24_lines_and_80_columns(run: Run, flag: str) -> None:
    ended = run(flag)
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) <= 24
    assert max(map(len, ended.out.splitlines())) <= 80
    assert all(f"  {command.name} " in ended.out and command.summary in ended.out for command in COMMANDS)


@pytest.mark.parametrize("name", [page.name for page in every(pages())])
def test_every_command_explains_itself_with_an_example(run: Run, name: str) -> None:
    ended = run(*name.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    examples = re.findall(r"^  (acestep-fetch.*)$", ended.out.partition("\nexamples:\n")[2], re.MULTILINE)
    assert examples
    assert name == "get" or all(example.startswith(f"acestep-fetch {name}") for example in examples)


def test_commands_within_commands_are_among_them() -> None:
    assert {"bundle needs", "bundle create", "bundle import"} <= {page.name for page in every(pages())}


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").out.strip() == f"acestep-fetch {__version__}"


DOCUMENTED = [
    [],
    ["--model", "acestep-v15-sft"],
    ["-m", "a", "-m", "b"],
    ["--all"],
    ["-a"],
    ["--list"],
    ["-l"],
    ["--dir", "/data"],
    ["-d", "/data"],
    ["--force"],
    ["-f"],
    ["--token", "hf_x"],
    ["-t", "hf_x"],
    ["--skip-main", "--model", "x"],
    ["--prefer-source", "modelscope"],
    ["--all", "--prefer-source", "huggingface"],
    ["--model", "x", "--dir", "d", "--token", "t", "--force", "--skip-main"],
    ["--include", "*.json", "--exclude", "*.md", "--revision", "main", "--dry-run"],
    ["--check", "--all"],
    ["--connections", "4", "--jobs", "2"],
    ["-x", "16", "-j8"],
    ["--download-source", "auto", "--local-dir", "d", "--max-workers", "8"],
    ["--source", "modelscope"],
    ["--token-file", "f", "--limit-rate", "80MB/s", "--progress", "json", "-q", "-v"],
]


@pytest.mark.parametrize("arguments", DOCUMENTED, ids=" ".join)
def test_documented_flags_parse_word_for_word(arguments: list[str]) -> None:
    get.parser().parse_args(arguments)


def test_flags_become_options() -> None:
    given = get.parser().parse_args(
        ["-m", "a,b", "-m", "c", "-d", "x", "-t", SECRET, "--limit-rate", "1K", "--skip-main", "-x4", "-j", "2"]
    )
    options = options_of(given)
    assert options.models == ("a", "b", "c")
    assert (options.directory, options.token, options.limit_rate) == (Path("x"), SECRET, 1000)
    assert options.skip_main
    assert (options.connections, options.jobs) == (4, 2)
    assert options_of(get.parser().parse_args([])) == Options.from_environment()


WRONG = {
    "unknown flag": (["--bogus"], "unrecognized arguments: --bogus"),
    "unknown word": (["bogus"], "there is no command 'bogus'"),
    "mistyped command": (["verfy"], "did you mean verify?"),
    "a model for get": (["get", "main"], "a model is named by --model main"),
    "a model for a command": (["acestep-v15-sft"], "a model is named by --model"),
    "no value": (["--model"], "expected one argument"),
    "progress": (["--progress", "dots"], "invalid choice"),
    "model": (["--model", "acestep-v15-bse"], "did you mean acestep-v15-base?"),
    "rate": (["--limit-rate", "fast"], "'fast' is not a size"),
    "rate's flag": (["--limit-rate", "fast"], "--limit-rate: "),
    "connections": (["-x", "0"], "--connections: '0' is not a whole number from 1 to 256"),
    "many connections": (["--connections", "257"], "--connections: "),
    "jobs": (["-j", "many"], "--jobs: 'many' is not a whole number from 1 to 256"),
    "no jobs": (["--jobs", ""], "--jobs: "),
    "source": (["--prefer-source", "hf"], "use huggingface, modelscope or auto"),
    "repository": (["--model", "a/b/c"], "OWNER/NAME"),
    "nothing left": (["--skip-main"], "nothing is left to fetch: the main model is skipped"),
    "token twice": (["--token", SECRET, "--token-file", "f"], "exclude each other"),
    "served folder": (["serve", "nowhere"], "nowhere: no such folder"),
    "served port": (["serve", ".", "--port", "http"], "invalid int value"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_on_stderr_and_ends_with_2(
    run: Run, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", _no_socket)
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert SECRET not in ended.err


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe" + SECRET.encode(), None])
@pytest.mark.parametrize("also", [[], ["--list"]])
def test_a_token_file_that_is_of_no_use_is_named_and_never_quoted(
    run: Run, here: Path, content: bytes | None, also: list[str]
) -> None:
    if content is not None:
        (here / "token").write_bytes(content)
    ended = run("--token-file", "token", *also)
    assert ended.code == 2
    assert ended.err.startswith("acestep-fetch: --token-file token: ")
    assert "SECRET" not in ended.err + ended.out


@pytest.mark.parametrize(
    "arguments", [["--dir", "~nobody-of-this-name/x", "--list"], ["--token-file", "~nobody-of-this-name/x"]]
)
def test_an_unknown_home_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).code == 2


def test_a_port_that_cannot_be_is_a_usage_error(run: Run, here: Path) -> None:
    assert run("serve", str(here), "--port", "99999").code == 2


def test_a_wrong_setting_names_its_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_FETCH_CONNECTIONS", "many")
    ended = run("--list")
    assert ended.code == 2
    assert "ACESTEP_FETCH_CONNECTIONS" in ended.err


def _no_socket(*_: object, **__: object) -> None:
    raise AssertionError("a socket was opened")


def test_the_list_shows_every_model_and_opens_no_socket(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", _no_socket)
    monkeypatch.setattr(socket, "getaddrinfo", _no_socket)
    ended = run("--list")
    assert (ended.code, ended.err) == (0, "")
    first = {line.split()[0] for line in ended.out.splitlines() if line.strip()}
    names = [model.name for model in load_catalogue().models]
    assert {*names, "vae", "Qwen3-Embedding-0.6B", *load_catalogue().inside} <= first
    assert str(here / "checkpoints") in ended.out
    assert not (here / "checkpoints").exists()  # a look makes nothing


def state_of(output: str, name: str) -> str:
    line = next(row for row in output.splitlines() if row.startswith(f"{name} "))
    return next(word for word in ("ready", "changed", "folder-only", "announced", "absent") if f" {word} " in line)


def test_the_list_tells_what_is_here(run: Run, here: Path) -> None:
    layout = Layout(here / "ckpt")
    for name in ("acestep-v15-sft", "acestep-v15-base", "acestep-v15-xl-sft"):
        (layout.final(name)).mkdir(parents=True)
        weights = layout.final(name) / "w"
        weights.write_text("w")
        if name != "acestep-v15-sft":
            found = weights.stat()
            file = ReceiptFile(f"{name}/w", "w", 1, found.st_mtime_ns, "a" * 64)
            write_receipt(layout.receipts, Receipt(name, f"ACE-Step/{name}", {}, {}, (file,)))
    (layout.final("acestep-v15-xl-sft") / "w").write_text("longer")
    out = run("--list", "--dir", "ckpt").out
    assert state_of(out, "acestep-v15-base") == "ready"
    assert state_of(out, "acestep-v15-xl-sft") == "changed"
    assert state_of(out, "acestep-v15-sft") == "folder-only"
    assert state_of(out, "acestep-v15-small") == "announced"
    assert state_of(out, "main") == "absent"


def test_only_what_is_here_is_listed_when_asked_for(run: Run, here: Path) -> None:
    empty = run("list", "--installed")
    assert empty.out.startswith(f"folder: {here / 'checkpoints'}, without any model\n")
    (here / "checkpoints" / "acestep-v15-sft").mkdir(parents=True)
    rows = run("list", "--installed").out.splitlines()
    assert [row.split()[:2] for row in rows[:3]] == [["model", "state"], ["acestep-v15-sft", "folder-only"], []]
    document = json.loads(run("list", "--installed", "--json").out)
    assert (document["v"], document["command"], document["folder"]) == (1, "list", str(here / "checkpoints"))
    (model,) = document["models"]
    assert (model["name"], model["state"], model["approximate"]) == ("acestep-v15-sft", "folder-only", True)
    assert model["folders"] == [str(here / "checkpoints" / "acestep-v15-sft")]
    whole = json.loads(run("list", "--json").out)["models"]
    assert [each["name"] for each in whole] == [model.name for model in load_catalogue().models]
    assert [part["name"] for part in whole[0]["components"]] == list(load_catalogue().find("main").folders)


@pytest.mark.parametrize("room", [40, 72, 80, 100, 120, 10_000])
def test_a_narrow_terminal_has_fewer_columns(room: int) -> None:
    rows = [_HEADS, ("acestep-v15-turbo-continuous", "partial 41 %", "~4.8 GB", "16 GB", "Better", "Medium", "y" * 50)]
    head, row = table(rows, room)
    assert max(len(head), len(row)) <= room
    shown = {name for name in _HEADS if name in head.split()}
    assert {"model", *(["state", "size", "for"] if room >= 72 else [])} <= shown
    assert ("VRAM" in shown) == (room >= 80)
    assert ("speed" in shown) == (room >= 100)
    assert row.count("y") >= 10 or room < 72


def test_a_check_says_what_is_missing_and_changes_nothing(run: Run, here: Path) -> None:
    layout = Layout(here / "checkpoints")
    ended = run("--check", "--model", "acestep-v15-sft")
    assert (ended.code, ended.out) == (11, "")
    assert "main, acestep-v15-sft: not ready in" in ended.err
    assert list(here.iterdir()) == []
    for name, repo in (("main", "ACE-Step/Ace-Step1.5"), ("acestep-v15-sft", "ACE-Step/acestep-v15-sft")):
        layout.final(name).mkdir(parents=True)
        code = layout.final(name) / "code.py"
        code.touch()
        kept = (ReceiptFile(f"{name}/code.py", "code.py", 0, code.stat().st_mtime_ns, "a" * 64),)
        write_receipt(layout.receipts, Receipt(name, repo, {name: "huggingface:x"}, {}, kept))
    for arguments in (["--check"], ["get", "--check", "-m", "acestep-v15-sft"]):
        assert run(*arguments) == Ended(0, "", "")
    told = run("--check", "-q", "-m", "sft", "--skip-main")
    assert told == Ended(0, f"{layout.final('acestep-v15-sft')}\n", "")
    assert run("--check", "--force").code == 11  # it would be fetched again
    everything = run("--check", "--all")
    assert everything.code == 11
    assert "acestep-v15-base" in everything.err
    assert "acestep-v15-small" not in everything.err  # no hub has it: nobody can wait for that


@pytest.mark.parametrize(
    ("more", "offline", "code", "said"),
    [
        (["--offline"], "", 11, "acestep-v15-sft: not ready in"),
        ([], "1", 11, "acestep-v15-sft: not ready in"),
        (["--lock", "empty.lock"], "", 12, "empty.lock does not have it"),
    ],
    ids=["flag", "variable", "lock"],
)
def test_a_check_of_what_may_not_be_fetched_says_that_it_is_not_ready(
    more: list[str], offline: str, code: int, said: str, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_main = Receipt("main", "ACE-Step/Ace-Step1.5", {"main": "huggingface:x"}, {}, ())
    write_receipt(Layout(here / "checkpoints").receipts, is_main)  # so one of the two is ready
    write_lock(here / "empty.lock", Lock())
    monkeypatch.setenv("HF_HUB_OFFLINE", offline or "0")
    command = ["--check", "-q", "--model", "acestep-v15-sft", *more]
    ended = run(*command)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    told = run(*command, "--json")
    first, *_, error, last = [json.loads(line) for line in told.out.splitlines()]
    assert (first["event"], error["event"], last["event"]) == ("start", "error", "summary")
    assert told.code == error["exit_code"] == last["exit_code"] == code


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "latin-1"])
def test_errors_are_told_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding, errors="backslashreplace"))
    program.say(UsageError("音楽: no", hint="write ABC", attempts=["ü"]))
    sys.stderr.flush()
    assert b"write ABC" in raw.getvalue()


def test_a_hint_with_an_accent_is_told_on_a_western_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "cp1252", errors="backslashreplace"))
    program.say(UsageError("no", hint="look into /home/josé"))
