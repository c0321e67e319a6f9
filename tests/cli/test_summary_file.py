"""``--summary-file`` of a command line that is wrong: written all the same, and no reason to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.stream.reading import SUMMARY


@pytest.mark.parametrize("file", ["missing/summary.json", "."])
def test_a_summary_that_cannot_be_written_is_a_warning(file: str, run: Run) -> None:
    ended = run("--model", "nonsense", "--summary-file", file)
    assert ended.code == 2
    assert f"warning: the summary was not written to {file}: " in ended.err
    assert "there is no model called 'nonsense'" in ended.err
    told = run("--model", "nonsense", "--summary-file", file, "--json")
    assert told.code == 2
    *_, note, last = [json.loads(line) for line in told.out.splitlines()]
    assert (note["event"], note["level"], last["event"]) == ("note", "warning", "summary")


def test_it_is_written_without_json_too(run: Run, here: Path) -> None:
    ended = run("--model", "nonsense", "--summary-file", "summary.json")
    assert (ended.code, ended.out) == (2, "")
    told = json.loads((here / "summary.json").read_bytes())
    SUMMARY.validate(told)
    assert (told["exit_code"], told["error"]) == (2, "there is no model called 'nonsense'")
