"""``--json`` of commands that answer with one document: it is there however the command ends."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from acestep_fetch.cli.commands import BY_NAME, COMMANDS
from tests.cli.conftest import Run

ANSWERING = [command.name for command in COMMANDS if command.answers]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_table_knows_who_answers_with_a_document(command: object) -> None:
    top = import_module(f"acestep_fetch.cli.{BY_NAME[command.name].module}").parser()  # type: ignore[attr-defined]
    has = any(action.dest == "json" for action in top._actions)
    assert command.answers == has  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ANSWERING)
@pytest.mark.parametrize("more", [["--json"], ["--jso"]], ids=" ".join)
def test_a_wrong_flag_is_a_document_too(name: str, more: list[str], run: Run, here: Path) -> None:
    ended = run(name, "--bogus", *more)
    assert ended.code == 2
    assert "--bogus" in ended.err, "people are told, too"
    told = json.loads(ended.out)
    assert (told["v"], told["command"], set(told)) == (1, name, {"v", "command", "error"})
    assert (told["error"]["name"], told["error"]["exit_code"], told["error"]["retryable"]) == ("usage", 2, False)
    assert "--bogus" in told["error"]["message"]
    assert told["error"]["hint"]
    assert run(name, "--bogus").out == ""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["plan", "--model", "nonsense"], "usage"),
        (["plan", "--offline"], "incomplete"),
        (["adopt", "/nowhere"], "usage"),
        (["verify"], "incomplete"),
        (["verify", "nonsense"], "incomplete"),
        (["list", "--dir", "file"], "disk"),
        (["--list", "--dir", "file"], "disk"),
        (["status", "--dir", "file"], "disk"),
        (["clean", "--dir", "file"], "disk"),
        (["recommend", "--for-gpu", "many"], "usage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_answered_says_why(arguments: list[str], error: str, run: Run, here: Path) -> None:
    (here / "file").write_text("a file, and no folder")
    ended = run(*arguments, "--json")
    told = json.loads(ended.out)
    assert (told["error"]["name"], told["error"]["exit_code"]) == (error, ended.code)
    assert told["error"]["message"] in " ".join(ended.err.split())
    assert told["command"] == ("list" if arguments[0] == "--list" else arguments[0])


def test_two_flags_for_stdout_leave_the_stream_alone(run: Run, here: Path) -> None:
    (here / "some").mkdir()
    ended = run("adopt", "some", "--json", "--progress", "json")
    assert ended.code == 2
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["event"] for line in lines] == ["start", "error", "summary"]


def test_the_list_is_the_same_document_by_both_names(run: Run, here: Path) -> None:
    by_flag, by_name = run("--list", "--json"), run("list", "--json")
    assert by_flag == by_name
    assert json.loads(by_flag.out)["command"] == "list"
    assert run("--list").out == run("list").out


@pytest.mark.parametrize(
    "arguments", [["list"], ["status"], ["clean"], ["doctor", "--offline"], ["--list"]], ids=lambda value: value[0]
)
def test_the_folder_has_one_name(arguments: list[str], run: Run, here: Path) -> None:
    ended = run(*arguments, "--json", "--dir", str(here / "models"))
    assert json.loads(ended.out)["folder"] == str(here / "models")
