"""The suite's own arithmetic and its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.figures import GIB, Run, added, most_at_once, summarize
from tests.bench.scenarios import HF, MS, SCENARIOS, Bar
from tests.bench.table import grid, replaced, results, verdict

RUN = Run(
    wall=10.0,
    cpu=2.0,
    rss=100 << 20,
    code=0,
    served={"huggingface": 600, "modelscope": 400},
    requests={"api": 2, "resolver": 3, "content": 40},
    connections=16,
)


def test_a_summary_takes_medians_and_the_most_connections() -> None:
    runs = [replace(RUN, wall=wall, connections=n) for wall, n in ((9.0, 4), (30.0, 20), (10.0, 8))]
    summary = summarize(runs, needed=1000)
    assert (summary.wall, summary.best, summary.worst) == (10.0, 9.0, 30.0)
    assert summary.connections == 20
    assert summary.served == 1.0
    assert summary.shares == {"huggingface": 0.6, "modelscope": 0.4}
    assert summary.right == 3


def test_cpu_is_told_for_a_gib() -> None:
    assert summarize([RUN], needed=GIB // 2).cpu_per_gib == pytest.approx(4.0)


def test_wrong_and_noisy_runs_are_counted() -> None:
    summary = summarize([RUN, replace(RUN, wrong=["a"], code=1), replace(RUN, late_p99_us=9000)], needed=1000)
    assert (summary.right, summary.noisy, summary.codes) == (2, 1, [0, 1, 0])


@pytest.mark.parametrize(
    ("intervals", "most"),
    [([], 0), ([(0, 1)], 1), ([(0, 1), (2, 3)], 1), ([(0, 5), (1, 2), (2, 3)], 3), ([(0, 9), (1, 2), (3, 4)], 2)],
)
def test_most_at_once(intervals: list[tuple[float, float]], most: int) -> None:
    assert most_at_once(intervals) == most


def test_counters_add_up() -> None:
    assert added([{"api": 1}, {"api": 2, "content": 5}]) == {"api": 3, "content": 5}


def test_a_grid_is_markdown() -> None:
    assert grid(("tool", "s"), [("a", "1")]) == "| tool | s |\n| --- | --: |\n| a | 1 |\n"


def test_the_fastest_comes_first_and_what_failed_last() -> None:
    tools = {
        "slow": summarize([replace(RUN, wall=20.0)], 1000),
        "fast": summarize([RUN], 1000),
        "broken": summarize([replace(RUN, wall=1.0, wrong=["x"])], 1000),
    }
    rows = results(tools, ideal=5.0).splitlines()[2:]
    assert [row.split()[1] for row in rows] == ["fast", "slow", "broken"]
    assert "| 2.00 |" in rows[0]


def test_a_verdict_compares_with_peers_that_were_right() -> None:
    ours, wrong = summarize([RUN], 1000), summarize([replace(RUN, wall=1.0, wrong=["x"])], 1000)
    peer = summarize([replace(RUN, wall=15.0)], 1000)
    told = verdict(ours, {"wrong": wrong, "peer": peer}, ideal=9.0, bar=Bar(1.0, 0.5))
    assert told == "bar 9.5 s: missed with 10.0 s; best peer: peer, 1.50 x our time"


def test_only_the_marked_part_of_a_document_changes() -> None:
    document = "before\n<!-- cdn -->\nold\n<!-- /cdn -->\nafter\n"
    assert replaced(document, "cdn", "new\n\\1") == "before\n<!-- cdn -->\nnew\n\\1\n<!-- /cdn -->\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        replaced(document, "dual", "new")


def test_the_ideal_is_that_of_the_links_that_are_up() -> None:
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    size = 605_000_000
    assert by_name["cdn"].ideal(size) == pytest.approx(8.36, abs=0.01)
    assert by_name["one-hub"].ideal(size) == pytest.approx(12.54, abs=0.01)
    assert by_name["home"].ideal(size) == pytest.approx(50.16, abs=0.01)
    assert by_name["china"].ideal(size, (HF,)) > 9 * by_name["china"].ideal(size, (MS,))
