"""Hostile names all the way: hubs list them, and nothing is written anywhere but where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.test_paths import HOSTILE
from tests.corpus.rows import LARGE, Row, renamed
from tests.corpus.running import run_all
from tests.support.faults import Kind, Rule

OURS = {".acestep-fetch", "Repo"}


@pytest.mark.timeout(600)
def test_no_name_leads_out_of_its_folder(tmp_path: Path) -> None:
    rules = {name: Rule(renamed(LARGE, name), kind=Kind.API) for name in HOSTILE}
    rows = [Row(ascii(name), hf=(rule,), ms=(rule,)) for name, rule in rules.items()]
    outcomes = run_all(rows, tmp_path / "runs")
    refused = {name: o.report.exit_code for name, o in outcomes.items() if o.report and o.report.exit_code}
    assert refused == dict.fromkeys(map(ascii, HOSTILE), 6)
    assert [name for name, o in outcomes.items() if o.trouble or not o.whole_again] == []
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    places = {path.name: {inside.name for inside in path.iterdir()} for path in (tmp_path / "runs").iterdir()}
    assert places.pop("hub")
    assert places == {str(number): OURS for number in range(len(HOSTILE))}
