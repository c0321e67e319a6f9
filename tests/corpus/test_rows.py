"""The fault corpus (`rows`), row by row."""

from __future__ import annotations

import pytest

from tests.corpus.rows import ROWS, Row
from tests.corpus.running import Outcome, run_all


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The outcomes of all rows that were selected."""
    here = [item for item in request.session.items if item.path == request.node.path]
    rows = [item.callspec.params["row"] for item in here if hasattr(item, "callspec")]
    return run_all(rows, tmp_path_factory.mktemp("corpus"))


@pytest.mark.timeout(1200)  # the first one waits for all
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[row.name]
    said = "\n".join(outcome.said[-30:])
    assert outcome.trouble is None, said
    assert outcome.report is not None
    assert outcome.again is not None
    assert not outcome.wrong, said
    assert outcome.report.exit_code == row.exit, said
    assert outcome.whole == (row.exit == 0), said
    if row.exit:
        assert outcome.report.error is not None
        assert outcome.report.error.hint, outcome.report.error.message
    assert (outcome.again.exit_code, outcome.whole_again) == (0, True)
    assert not outcome.leftovers


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) >= 100
