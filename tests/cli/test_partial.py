"""Some models fail and some do not: the exit code goes by what the run itself made ready, and nothing is said twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.trees import make_repo

BEFORE, OTHER = "made/Before", "made/Other"
NOBODY: Final = ("made/Nothing", "made/Nothing2")
NOWHERE: Final = {
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9",
    "ACESTEP_FETCH_PROBE_URL": "http://127.0.0.1:9/",
    "ACESTEP_FETCH_GIVE_UP_AFTER": "1",
}
CAUSE: Final = f"{OTHER}: no hub could be asked"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Hubs]:
    for repo, count in ((BEFORE, 3), (OTHER, 4)):
        make_repo(tmp_path / "hub", repo, {f"{repo[5:]}-{n}.bin": 20_000 for n in range(count)})
    with hubs(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def folder(pair: Hubs, tmp_path: Path) -> tuple[str, ...]:
    """Arguments for a folder in which `BEFORE` is ready."""
    arguments = ("--dir", str(tmp_path / "out"), "--skip-main", "--model", BEFORE)
    ended = pair.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return arguments


def models(*repos: str) -> list[str]:
    return [word for repo in repos for word in ("--model", repo)]


def last(pair: Hubs, *arguments: str) -> dict[str, Any]:
    ended = pair.run(*arguments, "--json")
    return {**events(ended.stdout)[-1], "returned": ended.returncode}


def test_two_wrong_names_are_no_partial_success(pair: Hubs, folder: tuple[str, ...]) -> None:
    told = last(pair, *folder, *models(*NOBODY))
    assert (told["returned"], told["exit_code"], told["retryable"]) == (3, 3, False)
    assert told["models"] == {"Before": "ready", "Nothing": "failed", "Nothing2": "failed"}


def test_a_loop_on_ten_ends(pair: Hubs, folder: tuple[str, ...]) -> None:
    first = last(pair, *folder, *models(OTHER, NOBODY[0]))
    assert (first["returned"], first["retryable"]) == (10, False), "no retry finds what is nowhere"
    assert last(pair, *folder, *models(OTHER, NOBODY[0]))["returned"] == 3


@pytest.mark.parametrize("command", ["get", "plan"])
def test_no_network_beside_a_model_that_was_ready(command: str, pair: Hubs, folder: tuple[str, ...]) -> None:
    ended = pair.run(command, *folder, *models(OTHER), **NOWHERE)
    assert ended.returncode == 5, ended.stderr
    assert ended.stderr.count(CAUSE) == 1
    tried = [line.split("tried: ")[1] for line in ended.stderr.splitlines() if "tried: " in line]
    assert len(tried) == len(set(tried)) == (2 if command == "get" else 0)


def test_a_cause_is_told_once_when_others_became_ready(pair: Hubs, folder: tuple[str, ...]) -> None:
    ended = pair.run(*folder, *models(OTHER, NOBODY[0]))
    assert ended.returncode == 10, ended.stderr
    assert ended.stderr.count("no hub has it") == 1
    assert "models failed" not in ended.stderr
    assert "2 of 3 models ready" in ended.stderr
    assert " 4 files verified" in ended.stderr, "the three that were ready before were not read"
    assert "reused" not in ended.stderr


def test_a_model_that_was_ready_has_no_files_in_the_last_line(pair: Hubs, folder: tuple[str, ...]) -> None:
    ended = pair.run(*folder, *models(NOBODY[0]))
    assert "1 of 2 models ready in" in ended.stderr
    assert "verified" not in ended.stderr
    assert "reused" not in ended.stderr


def test_a_repair_counts_the_files_of_what_it_repairs(pair: Hubs, folder: tuple[str, ...], tmp_path: Path) -> None:
    assert pair.run(*folder, *models(OTHER)).returncode == 0
    damaged = tmp_path / "out" / "Other" / "Other-0.bin"
    damaged.write_bytes(bytes(20_000))
    down = pair.run("repair", *folder[:2], **NOWHERE)
    assert down.returncode == 5, down.stderr
    assert "of 2 models" not in down.stderr
    ended = pair.run("repair", *folder[:2])
    assert ended.returncode == 0, ended.stderr
    assert "Other ready in" in ended.stderr
    assert " 4 files verified · 20.0 kB fetched, 60.0 kB reused" in ended.stderr
    damaged.write_bytes(bytes(20_000))
    told = pair.run("repair", *folder[:2], "--json").stdout.splitlines()[-1]
    assert json.loads(told)["models"] == {"Before": "ready", "Other": "ready"}


def test_a_model_without_a_receipt_counts_once(pair: Hubs, folder: tuple[str, ...], tmp_path: Path) -> None:
    for receipt in (tmp_path / "out" / ".acestep-fetch" / "receipts").iterdir():
        receipt.unlink()
    told = last(pair, *folder)
    assert (told["files_reused"], told["bytes_reused"]) == (3, 60_000)
