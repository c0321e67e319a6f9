"""The program as people start it: what it imports, what it opens, how it ends."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from acestep_fetch import __version__
from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span
from acestep_fetch.storage.begun import Begun, BegunFile, write_begun
from acestep_fetch.storage.journal import Journal, Piece
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import RECORD_EVERY, journal_of
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt

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


QUICK = [
    (["--list"], 0),
    (["--help"], 0),
    (["--version"], 0),
    (["--bogus"], 2),
    (["--prefer-source", "x"], 2),
    (["list", "--installed", "--json"], 0),
    (["status"], 11),
    (["status", "--json", "--watch"], 11),
    (["wait", "acestep-v15-sft"], 0),
    (["wait", "main", "--timeout", "0"], 11),
    (["verify", "--fast"], 0),
    (["verify", "--json"], 0),
    (["clean", "--dry-run"], 0),
    (["version"], 0),
    (["--check"], 11),
    (["--check", "--skip-main", "--model", "acestep-v15-sft"], 0),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With a model that is ready, and one that was begun: 5 GB, of which all but the last piece is there."""
    layout = Layout(tmp_path_factory.mktemp("looked") / "checkpoints")
    layout.final("acestep-v15-sft").mkdir(parents=True)
    (layout.final("acestep-v15-sft") / "w").write_bytes(b"w")
    time_ns = (layout.final("acestep-v15-sft") / "w").stat().st_mtime_ns
    file = ReceiptFile("acestep-v15-sft/w", "w", 1, time_ns, sha256(b"w").hexdigest())
    commits = {"acestep-v15-sft": "huggingface:x"}
    write_receipt(layout.receipts, Receipt("acestep-v15-sft", "ACE-Step/acestep-v15-sft", commits, {}, (file,)))
    digest, size = Digest("sha256", "a" * 64), 5 << 30
    write_begun(layout, Begun("main", "ACE-Step/Ace-Step1.5", {}, (BegunFile("vae/large", size, digest),)))
    layout.parts.mkdir()
    layout.part(digest).touch()
    os.truncate(layout.part(digest), size)
    journal = Journal.create(journal_of(layout.part(digest)), digest, size, ["huggingface"])
    for piece in range(0, size - RECORD_EVERY, RECORD_EVERY):
        journal.append(Piece(Span(piece, piece + RECORD_EVERY), 0, "huggingface"))
    journal.close()
    return str(layout.root)


@pytest.mark.parametrize(
    ("arguments", "code"), QUICK, ids=lambda value: " ".join(value) if isinstance(value, list) else str(value)
)
def test_quick_answers_open_no_socket_and_import_nothing_heavy(arguments: list[str], code: int, folder: str) -> None:
    ended = start([sys.executable, "-c", WATCHED], *arguments, ACESTEP_CHECKPOINTS_DIR=folder)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["code"] == code
    assert {*HEAVY, "asyncio"}.isdisjoint(told["modules"])


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["status"], ["verify", "--fast"]], ids=" ".join)
def test_quick_answers_take_a_blink(arguments: list[str], folder: str) -> None:
    """Seconds of the processor, the least of a few: a loaded machine lets a process wait."""
    took = list[float]()
    while not took or (min(took) > 0.3 and len(took) < 8):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = start(STARTS[0], *arguments, ACESTEP_CHECKPOINTS_DIR=folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert ended.returncode in (0, 11), ended.stderr
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) <= 0.3, took


def test_a_share_is_told_of_the_largest_file_there_is(folder: str) -> None:
    told = start(STARTS[0], "status", ACESTEP_CHECKPOINTS_DIR=folder).stdout
    assert "vae/large: 99 %, 5.3/5.4 GB" in told
    assert "acestep-v15-sft: ready, 1 B" in told


def test_the_versions_are_those_of_the_libraries_that_we_need(tmp_path: Path) -> None:
    told = json.loads(start(STARTS[0], "version", "--json").stdout)
    project = Path(__file__).parents[2] / "pyproject.toml"
    needed = {re.match(r"[\w-]+", each)[0] for each in tomllib.loads(project.read_text())["project"]["dependencies"]}
    assert set(told["libraries"]) == needed
    assert all(told["libraries"].values())
    assert told["version"] == __version__
    assert told["python"].endswith(platform.python_version())
    assert __version__ in start(STARTS[0], "version").stdout


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


FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


@full
@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["--list"], ["status"], ["version"], ["completion", "bash"]),
        *(["--help"], ["get", "--help"], ["-m", "main", "--help"], ["verify", "-h"], ["bundle", "create", "--help"]),
        *(["config", "--help"], ["--version"]),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_without_room_is_an_error_and_no_traceback(
    arguments: list[str], unbuffered: str, tmp_path: Path
) -> None:
    with FULL.open("w") as stdout:
        ended = subprocess.run(
            [*STARTS[0], *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            timeout=60,
            check=False,
        )
    assert ended.returncode == 8, ended.stderr
    assert ended.stderr.startswith("acestep-fetch: the output could not be written: No space left on device\n")


@full
def test_a_stream_without_room_is_told(tmp_path: Path) -> None:
    command = [*STARTS[0], "--json", "--offline", "--dir", str(tmp_path)]
    with FULL.open("w") as stdout:
        ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == 11
    assert "the output was not written: No space left on device" in ended.stderr


NOWHERE = ("--hf-endpoint", "http://127.0.0.1:9", "--ms-endpoint", "http://127.0.0.1:9")


@full
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["adopt", ".", *NOWHERE], 5), (["bundle", "import", "nowhere"], 2)],
    ids=["adopt", "import"],
)
def test_a_stream_without_room_is_told_by_whoever_has_one(arguments: list[str], code: int, tmp_path: Path) -> None:
    command = [*STARTS[0], *arguments, "--progress", "json"]
    with FULL.open("w") as stdout:
        ended = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60, check=False
        )
    assert ended.returncode == code, ended.stderr
    assert "the output was not written: No space left on device" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["adopt", "--bogus"], 2, "--bogus"),
        (["adopt", ".", "--json"], 2, "exclude each other"),
        (["adopt", ".", *NOWHERE], 5, "no hub could be asked"),
        (["bundle", "import", "."], 2, "bundle.json"),
    ],
    ids=["a wrong flag", "two answers", "no hub", "no bundle"],
)
def test_whoever_has_a_stream_ends_it_with_a_summary(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    ended = start(["sh", "-c"], 'cd "$0" && exec "$@"', str(tmp_path), *STARTS[0], *arguments, "--progress", "json")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["event"] for line in lines].count("summary") == 1
    assert (lines[0]["event"], lines[0]["command"]) == ("start", arguments[0])
    assert (lines[-1]["event"], lines[-1]["exit_code"], ended.returncode) == ("summary", code, code)
    assert said in lines[-1]["error"]
    assert said in ended.stderr, "people are told, too"


def test_a_reader_that_goes_away_makes_no_success_of_a_failure(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*STARTS[0], "adopt", str(tmp_path), "--json", *NOWHERE, "--dir", str(tmp_path / "out")]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert ended.returncode == 5, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_closed_output_is_no_traceback(tmp_path: Path) -> None:
    ended = start(["sh", "-c"], f'cd "{tmp_path}" && exec "{sys.executable}" -m acestep_fetch list >&-')
    assert (ended.returncode, ended.stderr) == (0, "")
