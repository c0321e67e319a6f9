"""`--offline` and what stands for it: no socket, and a clear end where something would have to be fetched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch import Options, fetch
from tests.cli.test_lock import REPO, WHAT, written
from tests.cli.test_program import WATCHED
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.trees import make_repo

NEITHER = {"aiohttp", "httpx", "huggingface_hub", "modelscope", "asyncio"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, REPO, {"large.bin": 2 << 20, "config.json": 300})
    with hubs(root) as served:
        yield served


@pytest.fixture
def ready(both: Hubs, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    ended = both.run(*WHAT, "--dir", str(out), "--progress", "none")
    assert ended.returncode == 0, ended.stderr
    return out


def watched(both: Hubs, *arguments: str, **environment: str) -> tuple[dict[str, Any], str, str]:
    """The command with sockets forbidden: what WATCHED tells, and what stood on stdout and stderr."""
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=both.environment(**environment),
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    return json.loads(lines[-1]), "\n".join(lines[:-1]), ended.stderr


def test_what_is_ready_is_told_and_the_rest_is_named(both: Hubs, ready: Path) -> None:
    there, _, said = watched(both, "--offline", *WHAT, "--dir", str(ready))
    assert there["code"] == 0
    assert "Repo is up to date" in said
    missing, _, said = watched(both, "--offline", "-m", REPO, "-m", "acestep-v15-sft", "--dir", str(ready))
    assert missing["code"] == 11
    assert "main, acestep-v15-sft: not ready" in said
    assert "acestep-v15-sft: it was never completed here" in said
    assert "bundle needs" in said
    assert "Repo is up to date" in said
    for told in (there, missing):
        assert NEITHER.isdisjoint(told["modules"])


def test_what_has_been_damaged_is_named(both: Hubs, ready: Path) -> None:
    (ready / "Repo" / "config.json").unlink()
    told, _, said = watched(both, "--offline", *WHAT, "--dir", str(ready))
    assert told["code"] == 11
    assert "Repo/config.json: missing or changed" in said


@pytest.mark.parametrize(
    "command",
    [
        "verify --fast",
        "verify",
        "status",
        "list",
        f"wait {REPO} --timeout 0",
        "sums",
        "clean -n",
        f"bundle needs -m {REPO}",
    ],
)
def test_commands_that_open_no_socket_anyhow_take_the_flag(command: str, both: Hubs, ready: Path) -> None:
    there, _, _ = watched(both, *command.split(), "--offline", "--dir", str(ready))
    assert there["code"] == 0


@pytest.mark.parametrize("command", ["config show", "recommend --for-gpu 12GB"])
def test_and_so_do_those_without_a_folder(command: str, both: Hubs) -> None:
    assert watched(both, *command.split(), "--offline")[0]["code"] == 0


def test_it_cannot_fetch_again(both: Hubs, ready: Path) -> None:
    told, _, said = watched(both, "--offline", "--force", *WHAT, "--dir", str(ready))
    assert told["code"] == 2
    assert "--force" in said


def test_the_json_stream_ends_with_its_summary(both: Hubs, ready: Path) -> None:
    told, out, _ = watched(both, "--offline", "-m", REPO, "--dir", str(ready), "--progress", "json")
    assert told["code"] == 11
    last = events(out)[-1]
    assert (last["event"], last["exit_code"], last["models"]) == ("summary", 11, {"main": "failed", "Repo": "ready"})


@pytest.mark.parametrize(
    ("environment", "offline"),
    [
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"HF_HUB_OFFLINE": "yes"}, True),
        ({"HF_HUB_OFFLINE": "True"}, True),
        ({"HF_HUB_OFFLINE": "on"}, True),
        ({"TRANSFORMERS_OFFLINE": "1"}, True),
        ({"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, False),
        ({"HF_HUB_OFFLINE": "0"}, False),
        ({"HF_HUB_OFFLINE": "2"}, False),
        ({"HF_HUB_OFFLINE": ""}, False),
        ({"ACESTEP_FETCH_OFFLINE": "1"}, True),
        ({"ACESTEP_FETCH_OFFLINE": "0", "HF_HUB_OFFLINE": "1"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_the_variables_mean_what_they_mean_to_huggingface_hub(environment: dict[str, str], offline: bool) -> None:
    assert Options.from_environment(environment).offline is offline
    if not any(name.startswith("ACESTEP") for name in environment):
        code = "from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"
        clean = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
        ended = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, check=True)
        assert ended.stdout.decode().strip() == str(offline)


def test_a_variable_does_as_the_flag_and_a_flag_needs_none(both: Hubs, tmp_path: Path) -> None:
    told, _, said = watched(both, "--dir", str(tmp_path / "out"), HF_HUB_OFFLINE="1")
    assert told["code"] == 11
    assert "leave out --offline (and HF_HUB_OFFLINE)" in said
    assert not (tmp_path / "out").exists()


async def test_inside_a_running_loop_too(both: Hubs, ready: Path) -> None:
    from acestep_fetch.api import fetch_async

    options = Options(directory=ready, models=(REPO,), skip_main=True, offline=True)
    assert (await fetch_async(options)).exit_code == 0
    report = await fetch_async(Options(directory=ready, offline=True))
    assert report.exit_code == 11
    assert report.models == {"main": "failed"}


def test_from_python(ready: Path) -> None:
    report = fetch("acestep-v15-sft", dir=ready, offline=True, check=False)
    assert report.exit_code == 11
    assert report.error is not None
    assert "(it was never completed here), and --offline" in report.error.message
    assert report.error.attempts == ()  # nothing was tried


def test_a_lock_and_its_sums_need_no_socket(both: Hubs, ready: Path, tmp_path: Path) -> None:
    lock = str(tmp_path / "the.lock")
    online = written(both, tmp_path / "online.lock", "--dir", str(ready))
    assert online.returncode == 0
    told, _, _ = watched(both, "lock", "--offline", *WHAT, "-o", lock, "--dir", str(ready))
    assert told["code"] == 0
    assert (tmp_path / "the.lock").read_bytes() == (tmp_path / "online.lock").read_bytes()
    locked, _, said = watched(both, "--lock", lock, "--offline", "--dir", str(ready))
    assert locked["code"] == 0, said
    for arguments in (["sums", "--lock", lock], ["sums", "--dir", str(ready)], ["lock", "--offline", "-o", lock]):
        told, out, said = watched(both, *arguments, ACESTEP_CHECKPOINTS_DIR=str(ready))
        assert told["code"] == 0, said
        assert arguments[0] == "lock" or len(out.splitlines()) == 2
        assert NEITHER.isdisjoint(told["modules"])
    absent, _, said = watched(both, "lock", "--offline", "-o", str(tmp_path / "b.lock"), "--dir", str(ready))
    assert absent["code"] == 11
    assert "main: not ready" in said


def test_the_kernel_is_asked_for_no_socket(both: Hubs, ready: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    tried = subprocess.run([strace, "-o", str(trace), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    for arguments, code in ((["--offline", *WHAT], 0), (["--offline"], 11)):
        wrapper = [strace, "-f", "-e", "trace=%network", "-o", str(trace)]
        process = both.start(*arguments, "--dir", str(ready), wrapper=wrapper)
        _, err = process.communicate(timeout=110)
        assert process.returncode == code, err
        assert "socket(" not in trace.read_text()
        assert "connect(" not in trace.read_text()
