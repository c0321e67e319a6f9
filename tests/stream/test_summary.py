"""The summary file: small whatever happened, and no reason to fail."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from acestep_fetch.core.events import RunFinished
from acestep_fetch.display.summary import MOST, summary_text
from acestep_fetch.storage.handing import hand_over
from tests.stream.reading import SUMMARY

END = RunFinished(0, {"main": "ready"}, 26, 0, 10, 0, {"huggingface": 10}, 1.5)
WORDS = some.text(max_size=3000)
STATES = some.sampled_from(["ready", "failed", "stopped"])


def test_a_usual_summary_is_left_as_it_is() -> None:
    told = json.loads(summary_text(END, "get", 0.0))
    assert "shortened" not in told
    assert (told["event"], told["command"], told["models"]) == ("summary", "get", {"main": "ready"})


@given(
    error=WORDS,
    hint=some.none() | WORDS,
    attempts=some.lists(WORDS, max_size=30),
    models=some.dictionaries(some.text(max_size=300), STATES, max_size=60),
    sources=some.dictionaries(some.text(max_size=100), some.integers(0, 10**13), max_size=3),
)
def test_it_is_never_too_large(
    error: str, hint: str | None, attempts: list[str], models: dict[str, str], sources: dict[str, int]
) -> None:
    end = replace(END, exit_code=10, error=error, hint=hint, attempts=tuple(attempts), models=models, by_source=sources)
    text = summary_text(end, "get", 0.0)
    assert len(text.encode()) <= MOST
    told = json.loads(text)
    SUMMARY.validate(told)
    assert told["exit_code"] == 10
    assert told.get("shortened") or told["attempts"] == attempts


def test_what_was_tried_is_shortened_first_and_what_failed_is_kept_longest() -> None:
    models = {f"model-{n}": "ready" for n in range(300)} | {"bad": "failed"}
    tried = tuple(f"{n}: " + "x" * 300 for n in range(30))
    short = json.loads(summary_text(replace(END, attempts=tried, error="e"), "get", 0.0))
    assert len(short["attempts"]) == 8
    told = json.loads(summary_text(replace(END, models=models, attempts=tried, error="e" * 900), "get", 0.0))
    assert (told["shortened"], told["attempts"]) == (True, [])
    assert told["models"]["bad"] == "failed"
    assert 10 < len(told["models"]) < 300


# -- handing it over --------------------------------------------------------------------------------------------------


def test_a_new_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    hand_over(tmp_path / "summary.json", b"{}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert (tmp_path / "summary.json").read_bytes() == b"{}\n"


@pytest.mark.parametrize("before", [b"", b"{}", b'{"old":"' + b"x" * 9000 + b'"}\n', b"y" * 100_000])
def test_a_file_that_is_there_stays_the_same_file(before: bytes, tmp_path: Path) -> None:
    file, other = tmp_path / "log", tmp_path / "linked"
    file.write_bytes(before)
    other.hardlink_to(file)
    hand_over(file, b'{"a":1}\n')
    assert file.read_bytes() == other.read_bytes() == b'{"a":1}\n'


def test_a_pipe_that_nobody_reads_is_an_error_and_no_standstill(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        hand_over(tmp_path / "pipe", b"{}")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_file_that_is_mounted_cannot_be_replaced(tmp_path: Path) -> None:
    """As a container's /dev/termination-log."""
    if os.getuid() or not shutil.which("mount"):
        pytest.skip("mounting a file needs root and mount")
    file, outside = tmp_path / "termination-log", tmp_path / "outside"
    file.touch()
    outside.touch()
    if subprocess.run(["mount", "--bind", outside, file], capture_output=True, check=False).returncode:
        pytest.skip("mounting a file is not allowed here")
    try:
        (tmp_path / "new").touch()
        with pytest.raises(OSError, match="busy"):
            (tmp_path / "new").replace(file)
        hand_over(file, b'{"a":1}\n')
        assert outside.read_bytes() == b'{"a":1}\n'
    finally:
        subprocess.run(["umount", file], check=True)
