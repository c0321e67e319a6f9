"""The program as people start it: what it imports, what it opens, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("aiohttp", "httpx", "huggingface_hub", "modelscope", "rich")
SCRIPT = Path(sys.executable).with_name("acestep-fetch")
STARTS = [[sys.executable, "-m", "acestep_fetch"]] + ([[str(SCRIPT)]] if SCRIPT.exists() else [])

# Runs the command line with sockets forbidden, then tells which modules that cost.
WATCHED = """
import json, socket, sys
def forbidden(*_, **__): raise AssertionError("a socket was opened")
socket.socket = socket.create_connection = socket.getaddrinfo = forbidden
from acestep_fetch.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print(json.dumps({"code": code or 0, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def start(command: list[str], *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ACESTEP_", "HF_", "MODELSCOPE_"))}
    clean |= {"COLUMNS": "80", "PYTHONWARNINGS": "error"} | environment
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=clean, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--list"], 0), (["--help"], 0), (["--version"], 0), (["--bogus"], 2), (["--prefer-source", "x"], 2)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_quick_answers_open_no_socket_and_import_nothing_heavy(arguments: list[str], code: int) -> None:
    ended = start([sys.executable, "-c", WATCHED], *arguments)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["code"] == code
    assert set(HEAVY).isdisjoint(told["modules"])


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, acestep_fetch; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(start([sys.executable, "-c", code]).stdout.split())
    assert set(HEAVY).isdisjoint(loaded)
    assert "asyncio" not in loaded


def test_every_public_name_is_there_and_no_other() -> None:
    code = (
        "import acestep_fetch as a\n"
        "assert all(getattr(a, name) is not None for name in a.__all__)\n"
        "try: a.nonsense\n"
        "except AttributeError as e: print(e)"
    )
    ended = start([sys.executable, "-c", code])
    assert "nonsense" in ended.stdout, ended.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["--list"], ["--bogus"], ["-m", "acestep-v15-bse"]])
def test_both_ways_to_start_it_are_one_program(arguments: list[str]) -> None:
    ended = [start(command, *arguments) for command in STARTS]
    assert len({(each.returncode, each.stdout, each.stderr) for each in ended}) == 1
    assert "Traceback" not in ended[0].stderr


def test_a_mistyped_model_ends_with_2_and_the_closest_name() -> None:
    ended = start(STARTS[0], "--model", "acestep-v15-bse")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("acestep-fetch: there is no model called 'acestep-v15-bse'\n")
    assert "did you mean acestep-v15-base?" in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_poor_terminal_gets_the_list_and_the_errors_too(encoding: str) -> None:
    listed = start(STARTS[0], "--list", PYTHONIOENCODING=encoding)
    assert (listed.returncode, listed.stderr) == (0, "")
    wrong = start(STARTS[0], "--model", "xyz-\u6a21", PYTHONIOENCODING=encoding, PYTHONUTF8="1")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_a_reader_that_goes_away_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*STARTS[0], "--list"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert "Traceback" not in ended.stderr


def test_a_working_folder_that_is_gone_is_explained(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f'cd "{gone}" && rmdir "{gone}" && exec "{sys.executable}" -m acestep_fetch --list'
    assert "Traceback" not in start(["sh", "-c"], shell).stderr
