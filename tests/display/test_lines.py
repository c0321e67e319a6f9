"""What plain, quiet and json write, painted by hand: no thread, no clock."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import pytest

from acestep_fetch.core import events as ev
from acestep_fetch.core.model import HubName
from acestep_fetch.core.plain import plain_data
from acestep_fetch.display.jsonl import JsonLines
from acestep_fetch.display.plain import Plain, progress_line
from acestep_fetch.display.pump import Heard, Painter, Tick
from acestep_fetch.display.quiet import Quiet
from acestep_fetch.display.sink import Sink
from acestep_fetch.display.tally import Phase, Tally, View

GB = 10**9
NOON = 1_800_000_000.0


def painted(painter: Painter, moments: Iterable[tuple[float, list[ev.Event]]]) -> None:
    tally = Tally(0.0)
    for now, events in moments:
        for event in events:
            tally.update(event, now)
        heard = tuple(Heard(event, NOON + now) for event in events if not isinstance(event, ev.BytesReceived))
        painter.paint(Tick(heard, tally.view(now), now, NOON + now))


def text_sink(encoding: str = "utf-8") -> tuple[Sink, Callable[[], str]]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    return Sink(stream), lambda: stream.buffer.getvalue().decode(encoding)


def plan(total: int = 100) -> ev.PlanMade:
    return ev.PlanMade(("m",), 2, total, 0, 0, total, 10**9, {})


def test_a_progress_line_reads_as_documented(view: Callable[..., View]) -> None:
    line = progress_line(view(done=415 * GB // 100, total=10_092_095_357))
    assert line == "41% 4.1/10.1 GB 212 MB/s eta 28s files 17/26 huggingface 71% modelscope 29%"


def test_plain_writes_a_line_per_step_and_per_interval() -> None:
    sink, written = text_sink()
    moments: list[tuple[float, list[ev.Event]]] = [(0.0, [plan(1000)])]
    moments += [(second, [ev.BytesReceived("a/x", "huggingface", 1)]) for second in range(1, 31)]  # slow: by time
    moments += [(30 + n / 100, [ev.BytesReceived("a/x", "huggingface", 10)]) for n in range(1, 51)]  # fast: by step
    painted(Plain(sink, verbose=False), moments)
    percents = [int(found) for found in re.findall(r"^\d\d:\d\d:\d\d (\d+)%", written(), re.M)]
    assert percents == [1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([ev.RunStarted("1", "/w", ("m",))], "waiting for Hugging Face and ModelScope to answer (30s)"),
        ([ev.SourcesChosen(("huggingface",), "")], "waiting for the file lists, checking what is already here (30s)"),
        ([ev.Waiting("another process writes here", 60.0)], "waiting: another process writes here (30s)"),
        ([ev.Waiting("it is at work", 60.0, 3 * 10**9, 10**10)], "waiting: it is at work: 30%, 3.0/10.0 GB (30s)"),
        ([plan(), ev.FileStarted("a/x", 100, 0)], "no data, waiting for the hubs: a/x (30s)"),
    ],
)
def test_a_heartbeat_says_what_is_waited_for(events: list[ev.Event], says: str) -> None:
    sink, written = text_sink()
    painted(Plain(sink, verbose=False), [(0.0, events), *((float(second), []) for second in range(1, 31))])
    lines = written().splitlines()
    assert len([line for line in lines if "(10s)" in line or "(20s)" in line or "(30s)" in line]) == 3
    assert lines[-1].endswith(says)


def test_plain_has_complete_lines_with_a_time_and_no_control_bytes(run: list[ev.Event]) -> None:
    sink, written = text_sink()
    painted(Plain(sink, verbose=True), [(0.0, [*run[:5], ev.Note("info", "a\r\x1b[1mb"), *run[5:]])])
    assert "\r" not in written()
    assert "\x1b" not in written()
    assert written().endswith("\n")
    assert all(re.match(r"\d\d:\d\d:\d\d \S| {9}", line) for line in written().splitlines())
    assert "✓ main ready in 2 min 05 s" in written()


def test_plain_is_ascii_where_the_encoding_is_not_utf8(run: list[ev.Event]) -> None:
    sink, written = text_sink("latin-1")
    painted(Plain(sink, verbose=True), [(0.0, run)])
    assert written().isascii()
    assert "ok main ready in" in written()


def test_quiet_says_only_what_is_wrong(run: list[ev.Event]) -> None:
    sink, written = text_sink()
    failure = [ev.ModelFailed("main", "network", 5, "no hub answers", "try again later")]
    painted(Quiet(sink), [(0.0, [*run[:-2], *failure])])
    assert written().splitlines() == [
        "warning: dit/model.safetensors: Hugging Face → ModelScope at 2.0 GB: stalled 20 s",
        "✗ no hub answers",
        "  → try again later",
    ]


def lines_of(written: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


def test_json_has_every_event_as_it_is_and_the_summary_last(run: list[ev.Event]) -> None:
    sink, written = text_sink()
    painted(JsonLines(sink), [(n / 10, [event]) for n, event in enumerate(run)])
    lines = lines_of(written())
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["event"] for line in lines if line["event"] != "progress"] == [
        event.name for event in run if not isinstance(event, ev.BytesReceived)
    ]
    assert lines[-1]["event"] == "summary"
    assert lines[-1]["by_source"] == {"huggingface": 2 * GB, "modelscope": GB}
    assert lines[-2]["event"] == "progress"
    assert lines[-2] | {"bps": 0, "eta_s": 0} == lines[-2] | {
        "bytes_done": 4 * GB, "bytes_total": 4 * GB, "bps": 0, "eta_s": 0, "files_done": 2, "files_total": 2,
        "by_source": {"huggingface": 2 * GB, "modelscope": GB},
    }  # fmt: skip
    assert {line["v"] for line in lines} == {1}
    times = [datetime.fromisoformat(line["ts"]) for line in lines]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"]) for line in lines)


def test_json_tells_progress_at_most_twice_a_second_and_every_ten_seconds() -> None:
    sink, written = text_sink()
    moments: list[tuple[float, list[ev.Event]]] = [(0.0, [plan(10**6)])]
    moments += [(n / 10, [ev.BytesReceived("a/x", "huggingface", 1)]) for n in range(1, 51)]
    painted(JsonLines(sink), [*moments, *((5.1 + n / 10, list[ev.Event]()) for n in range(200))])
    progress = [line for line in lines_of(written()) if line["event"] == "progress"]
    assert 9 <= len([line for line in progress if line["bps"]]) <= 12
    assert len(progress) in (12, 13)


def test_json_data_is_plain() -> None:
    value = {HubName.HUGGINGFACE: (Phase.WAITING, None, True, 1.5, float("inf"))}
    assert plain_data(value) == {"huggingface": ["waiting", None, True, 1.5, None]}
    assert [type(key) for key in plain_data(value)] == [str]
