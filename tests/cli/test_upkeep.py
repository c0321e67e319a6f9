"""`verify` and `repair`: damage is found to the piece, without a socket, and only that is fetched again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_program import WATCHED
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_repo, tree_digests

MIB = 1 << 20
REPO = "made/Repo"
FILES = {"large.bin": 40 * MIB, "vocab.txt": 60_000, "code.py": 4000, "config.json": 300}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, REPO, FILES)
    with hubs(root) as served:
        yield served


@pytest.fixture
def folder(both: Hubs, tmp_path: Path) -> Path:
    """A finished download; what the hubs have sent by then is forgotten."""
    out = tmp_path / "out"
    ended = both.run("--model", REPO, "--skip-main", "--dir", str(out), "--progress", "none")
    assert ended.returncode == 0, ended.stderr
    for hub in (both.hf, both.ms):
        hub.recorder.clear()
    return out


def flip(file: Path, at: int) -> None:
    """Turns a bit without a trace in the file's size and time."""
    times = file.stat()
    with file.open("r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_all_is_right(both: Hubs, folder: Path) -> None:
    for more in ([], ["--fast"], ["Repo"]):
        ended = both.run("verify", "--dir", str(folder), *more)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "Repo: 4 files" in ended.stdout
        assert "all right" in ended.stdout


def without_a_reader(both: Hubs, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As in ``... | true``."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "acestep_fetch", *arguments]
        return subprocess.run(
            command, env=both.environment(), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("more", [["-v"], ["--json"], ["--fast"]])
def test_a_reader_that_goes_away_takes_no_verdict_along(more: list[str], both: Hubs, folder: Path) -> None:
    (folder / "Repo" / "vocab.txt").unlink()
    ended = without_a_reader(both, "verify", "--dir", str(folder), *more)
    assert (ended.returncode, "1 file is" in ended.stderr) == (11, True), ended.stderr


def test_nor_what_is_left_to_be_done(both: Hubs, folder: Path, tmp_path: Path) -> None:
    (folder / "Repo" / "vocab.txt").unlink()
    (folder / "acestep-v15-sft").mkdir()
    report = tmp_path / "report.txt"
    for command in ("status", "doctor"):
        more = ["--offline", "--report", str(report)] if command == "doctor" else []
        assert without_a_reader(both, command, "--dir", str(folder), *more).returncode == 11
    assert "acestep-v15-sft" in report.read_text("utf-8")
    asked = ("--model", REPO, "--skip-main", "--dir", str(folder))
    assert without_a_reader(both, "plan", *asked, "--min-free", "1000TB").returncode == 7
    assert without_a_reader(both, "repair", "--dir", str(folder)).returncode == 0
    assert (folder / "Repo" / "vocab.txt").stat().st_size == FILES["vocab.txt"]
    assert without_a_reader(both, "doctor", "--offline", "--fix", "--dir", str(folder)).returncode == 0
    assert not (folder / "acestep-v15-sft").exists()


@pytest.mark.parametrize("fast", [False, True])
def test_verify_opens_no_socket(fast: bool, both: Hubs, folder: Path) -> None:
    arguments = ["verify", "--dir", str(folder), *(["--fast"] if fast else [])]
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["code"] == 0, ended.stderr
    assert {"aiohttp", "httpx", "huggingface_hub", "modelscope"}.isdisjoint(told["modules"])


def test_a_bit_that_was_flipped_on_disk_costs_one_piece(both: Hubs, folder: Path) -> None:
    flip(folder / "Repo" / "large.bin", 17 * MIB)
    again = both.run("--model", REPO, "--skip-main", "--dir", str(folder), "--progress", "none")
    assert again.returncode == 0  # size and time are what they were: nothing to see without reading all of it
    found = both.run("verify", "--dir", str(folder))
    assert found.returncode == 11
    where = re.search(r"1 of \d+ pieces do not hold, the first at byte (\d+)", found.stdout)
    assert where, found.stdout
    assert 15 * MIB < int(where[1]) <= 17 * MIB
    assert "acestep-fetch repair Repo" in found.stderr
    mended = both.run("repair", "--dir", str(folder), "--progress", "none")
    assert mended.returncode == 0, mended.stderr
    assert both.sent <= 3 * MIB
    assert tree_digests(folder / "Repo") == tree_digests(both.hf.hub.setup.root / REPO)
    assert both.run("verify", "--dir", str(folder)).returncode == 0


def test_the_plan_of_a_repair_counts_the_damaged_pieces_as_missing(both: Hubs, folder: Path) -> None:
    flip(folder / "Repo" / "large.bin", 17 * MIB)
    found = json.loads(both.run("verify", "--json", "--dir", str(folder)).stdout)
    bad = {file["path"]: file["bad"] for file in found["models"][0]["files"]}
    ((start, stop),) = bad["Repo/large.bin"]
    mended = both.run("repair", "--dir", str(folder), "--json")
    assert mended.returncode == 0, mended.stderr
    events = [json.loads(line) for line in mended.stdout.splitlines()]
    (plan,) = [event for event in events if event["event"] == "plan"]
    assert (plan["fetch"], plan["partial"]) == (stop - start, 40 * MIB - (stop - start))
    assert events[-1]["bytes_fetched"] == stop - start


def test_what_is_missing_cut_or_altered_is_fetched_again(both: Hubs, folder: Path) -> None:
    (folder / "Repo" / "large.bin").write_bytes(b"short")
    (folder / "Repo" / "config.json").unlink()
    flip(folder / "Repo" / "vocab.txt", 7)
    found = both.run("verify", "--dir", str(folder), "Repo")
    assert found.returncode == 11
    assert "3 at fault" in found.stdout
    mended = both.run("repair", "Repo", "--dir", str(folder), "--progress", "none")
    assert mended.returncode == 0, mended.stderr
    assert tree_digests(folder / "Repo") == tree_digests(both.hf.hub.setup.root / REPO)


@pytest.mark.parametrize("named", [[], ["sft"]])
def test_programs_get_a_document_where_nothing_was_ever_finished(
    named: list[str], both: Hubs, folder: Path, tmp_path: Path
) -> None:
    at = folder if named else tmp_path / "nothing"
    found = both.run("verify", "--json", "--dir", str(at), *named)
    document = json.loads(found.stdout)
    assert (found.returncode, document["folder"], document["models"]) == (11, str(at), [])
    error = document["error"]
    assert (error["name"], error["exit_code"]) == ("incomplete", 11)
    assert found.stderr == f"acestep-fetch: {error['message']}\n  → {error['hint']}\n"


def test_every_files_condition_is_told_to_programs(both: Hubs, folder: Path) -> None:
    flip(folder / "Repo" / "large.bin", 17 * MIB)
    (folder / "Repo" / "config.json").unlink()
    (folder / "Repo" / "code.py").write_text("# rewritten\n")
    found = both.run("verify", "--json", "--dir", str(folder))
    assert found.returncode == 11
    assert "acestep-fetch repair Repo" in found.stderr
    document = json.loads(found.stdout)
    assert (document["v"], document["command"], document["fast"]) == (1, "verify", False)
    (model,) = document["models"]
    assert (model["model"], model["repo"], model["right"]) == ("Repo", REPO, False)
    files = {file["path"]: file for file in model["files"]}
    told = {path: file["condition"] for path, file in files.items()}
    assert told == {
        "Repo/large.bin": "damaged",
        "Repo/config.json": "missing",
        "Repo/code.py": "changed",
        "Repo/vocab.txt": "right",
    }
    ((start, stop),) = files["Repo/large.bin"]["bad"]
    assert start <= 17 * MIB < stop <= start + 2 * MIB
    fast = json.loads(both.run("verify", "--json", "--fast", "--dir", str(folder)).stdout)
    assert (fast["fast"], fast["models"][0]["right"]) == (True, False)


def test_python_files_that_the_application_rewrote_are_a_note(both: Hubs, folder: Path) -> None:
    (folder / "Repo" / "code.py").write_text("# rewritten\n")
    found = both.run("verify", "--dir", str(folder))
    assert found.returncode == 0, found.stderr
    assert "code.py: changed" in found.stdout
    mended = both.run("repair", "--dir", str(folder))
    assert mended.returncode == 0
    assert (folder / "Repo" / "code.py").read_text() == "# rewritten\n"
    assert both.sent == 0


def test_a_python_file_that_lost_its_bytes_is_damage(both: Hubs, folder: Path) -> None:
    (folder / "Repo" / "code.py").write_bytes(b"")
    assert both.run("verify", "--dir", str(folder)).returncode == 11
    assert both.run("repair", "--dir", str(folder), "--progress", "none").returncode == 0
    assert tree_digests(folder / "Repo") == tree_digests(both.hf.hub.setup.root / REPO)


def test_times_that_a_copy_changed_are_written_down_again(both: Hubs, folder: Path) -> None:
    for file in (folder / "Repo").rglob("*"):
        if file.is_file():
            os.utime(file, ns=(0, 0))
    fast = both.run("verify", "--fast", "--dir", str(folder))
    assert fast.returncode == 11
    assert "acestep-fetch verify Repo" in fast.stderr
    mended = both.run("repair", "--dir", str(folder))
    assert (mended.returncode, both.sent) == (0, 0)
    assert both.run("verify", "--fast", "--dir", str(folder)).returncode == 0


def test_a_repair_that_was_stopped_goes_on_from_its_part(both: Hubs, folder: Path) -> None:
    flip(folder / "Repo" / "large.bin", 30 * MIB)
    dead = {"HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    stopped = both.start("repair", "--dir", str(folder), "--progress", "none", **dead, ACESTEP_FETCH_GIVE_UP_AFTER="1")
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 5, err
    part = next((folder / ".acestep-fetch" / "parts").glob("*.part"))
    before = part.stat().st_ino
    assert both.run("repair", "--dir", str(folder), "--progress", "none").returncode == 0
    assert (folder / "Repo" / "large.bin").stat().st_ino == before
    assert both.sent <= 3 * MIB


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_what_was_never_finished(command: str, both: Hubs, tmp_path: Path) -> None:
    nothing = both.run(command, "--dir", str(tmp_path / "nowhere"))
    assert nothing.returncode == 11
    assert "--dir" in nothing.stderr
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_model_is_named(both: Hubs, folder: Path) -> None:
    ended = both.run("verify", "other", "--dir", str(folder))
    assert ended.returncode == 11
    assert "other was never completed" in ended.stderr


@pytest.mark.parametrize("command", ["verify", "repair", "sums"])
def test_a_model_may_be_named_by_its_repository(command: str, both: Hubs, folder: Path) -> None:
    ended = both.run(command, REPO, "--dir", str(folder))
    assert ended.returncode == 0, ended.stderr


def test_without_room_for_a_copy_the_damaged_file_gives_way(
    both: Hubs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acestep_fetch.engine.upkeep import prepare_repair, recorded, verify
    from acestep_fetch.storage import platform
    from acestep_fetch.storage.layout import Layout

    flip(folder / "Repo" / "large.bin", 0)
    layout = Layout(folder)
    found = list(verify(layout, recorded(layout, ()), fast=False, tell=lambda receipt, finding: None))
    monkeypatch.setattr(platform, "free_bytes", lambda folder: 0)
    prepare_repair(layout, found)
    assert not (folder / "Repo" / "large.bin").exists()
    ended = both.run("--model", REPO, "--skip-main", "--dir", str(folder), "--progress", "none")
    assert ended.returncode == 0, ended.stderr
    assert both.sent <= 3 * MIB
    assert tree_digests(folder / "Repo") == tree_digests(both.hf.hub.setup.root / REPO)


def test_a_repair_fetches_as_a_run_would_be_told_to(both: Hubs, folder: Path) -> None:
    """Its flags for sources and speed are those of `get`."""
    flip(folder / "Repo" / "large.bin", 17 * MIB)
    told = both.run("repair", "--dir", str(folder), "--limit-rate", "nonsense")
    assert (told.returncode, told.stdout) == (2, ""), "a wrong flag is told before everything is read"
    assert "--limit-rate: 'nonsense' is not a size" in told.stderr
    missing = both.run("repair", "--dir", str(folder), "--ca-bundle", str(folder / "none.pem"))
    assert missing.returncode == 2
    assert "none.pem: No such file" in missing.stderr
    ended = both.run("repair", "--dir", str(folder), "--limit-rate", "80MB/s", "--prefer-source", "modelscope")
    assert ended.returncode == 0, ended.stderr
    assert "ModelScope is preferred" in ended.stderr
    assert both.run("verify", "--dir", str(folder)).returncode == 0
