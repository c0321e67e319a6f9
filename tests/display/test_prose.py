from __future__ import annotations

import dataclasses

import pytest

from acestep_fetch.core import events as ev
from acestep_fetch.display.glyphs import ASCII, UNICODE
from acestep_fetch.display.prose import Line, Narrator

GB = 10**9


def told(events: list[ev.Event], *, verbose: bool = False) -> list[tuple[str, str]]:
    narrator = Narrator(UNICODE, verbose=verbose)
    return [(line.kind, line.text) for event in events for line in narrator.tell(event)]


def finish(code: int, **changes: object) -> ev.RunFinished:
    end = ev.RunFinished(code, {"main": "failed"}, 4, 0, 48 * GB // 10, 15 * GB // 10, {"huggingface": 5}, 3.2)
    return dataclasses.replace(end, **changes)  # type: ignore[arg-type]


def test_a_run_is_told_in_a_few_lines(run: list[ev.Event]) -> None:
    assert told(run) == [
        ("info", "Sources: Hugging Face 38 ms, ModelScope (no answer: timeout) · Google is reachable"),
        ("info", "main: 2 files, 4.0 GB → /w/checkpoints · free 48.0 GB, after 45.0 GB"),
        ("info", "Reusing 1.0 GB already here · to fetch: 3.0 GB"),
        ("warn", "dit/model.safetensors: Hugging Face → ModelScope at 2.0 GB: stalled 20 s"),
        ("good", "dit ready · 1 file, 3.0 GB"),
        (
            "good",
            "main ready in 2 min 05 s · 2 files verified · 3.0 GB fetched, 1.0 GB reused"
            " · Hugging Face 67 %, ModelScope 33 %",
        ),
    ]


def test_details_are_for_verbose(run: list[ev.Event]) -> None:
    assert ("detail", "retry 1") in told(run, verbose=True)
    assert not [text for kind, text in told(run) if kind == "detail"]


def test_nothing_to_do_is_one_line() -> None:
    events = [
        ev.RunStarted("1", "/w", ("main",)),
        ev.PlanMade(("main",), 26, 10 * GB, 10 * GB, 0, 0, GB, {}),
        ev.ComponentReady("vae", 2, GB),
        ev.ModelReady("main", ("vae",), 26, 10 * GB, False),
        finish(0, bytes_fetched=0),
    ]
    assert told(events) == [("good", "main is up to date (26 files, 10.0 GB)")]


def test_a_failure_is_told_once_with_its_hint() -> None:
    failed = ev.ModelFailed("main", "network", 5, "no hub answers", "check the network")
    events = [ev.RunStarted("1", "/w", ("main",)), failed, finish(5, error="no hub answers", hint="check the network")]
    assert told(events) == [
        ("bad", "no hub answers"),
        ("hint", "check the network"),
        ("info", "6.3 GB kept for the next run"),
    ]
    useless = finish(5, error="no hub answers", hint="check the network", bytes_dropped=GB, bytes_compared=2 * GB)
    assert told([*events[:-1], useless])[-1] == ("info", "3.3 GB kept for the next run")


def test_a_failure_before_any_model_is_told_too() -> None:
    assert told([finish(9, error="another process", hint="wait", bytes_fetched=0, bytes_reused=0)]) == [
        ("bad", "another process"),
        ("hint", "wait"),
    ]


def test_several_models_are_told_as_they_get_ready() -> None:
    events = [
        ev.RunStarted("1", "/w", ("a", "b")),
        ev.ModelReady("a", (), 2, GB, True),
        ev.ModelFailed("b", "not-found", 3, "no hub has it", None),
        finish(10, models={"a": "ready", "b": "failed"}),
    ]
    assert told(events) == [
        ("good", "a ready · 2 files, 1.0 GB"),
        ("bad", "b: no hub has it"),
        ("row", "a  ready"),
        ("row", "b  failed"),
        ("info", "1 of 2 models ready in 3.2 s · 4 files verified · 4.8 GB fetched, 1.5 GB reused"
                 " · all from Hugging Face"),
    ]  # fmt: skip


@pytest.mark.parametrize("code", [130, 143])
def test_a_signal_tells_what_is_kept(code: int) -> None:
    assert told([finish(code)]) == [("stop", "Stopped. 6.3 GB kept; run the same command to continue.")]
    assert told([finish(code, bytes_fetched=0, bytes_reused=0)]) == [
        ("stop", "Stopped. Run the same command to continue.")
    ]


def test_what_happens_all_the_time_is_told_a_few_times() -> None:
    switches: list[ev.Event] = [ev.SourceSwitched(f"a/{n}", "huggingface", "modelscope", 0, "x") for n in range(50)]
    lines = told(switches)
    assert len(lines) == 3
    assert lines[-1][1].endswith("(more like this: see --verbose)")
    assert len(told(switches, verbose=True)) == 50


def test_every_event_can_be_told(run: list[ev.Event]) -> None:
    rest: list[ev.Event] = [
        ev.SourceJoined("modelscope"), ev.Note("info", "n"), ev.BytesDropped("p", 5, "w"),
        ev.SourceSwitched("p", "huggingface", "", 5, "404"), ev.PieceRepaired("p", 0, 8, "disk"),
        ev.FileFailed("p", "integrity", "m"), ev.ComponentMoved("vae", "huggingface", "modelscope", "404"),
        ev.Waiting("w", 60.0), ev.BytesCompared("p", "modelscope", 5), ev.FileAdopted("p", 5, "/o", "copy"),
        ev.FileChecked("p", 5, "damaged", "w"), ev.RunFailed("integrity", 6, False, "m", None, (), None, None),
    ]  # fmt: skip
    seen = {type(event) for event in (*run, *rest)} | {ev.ModelFailed}
    declared = {kind for kind in vars(ev).values() if isinstance(kind, type) and issubclass(kind, ev.Event)}
    assert seen == declared - {ev.Event}
    # Dropped bytes and adopted files are details, compared ones only a figure; checks are printed, errors told last.
    assert len(told(rest)) == len(rest) - 5


def test_foreign_text_is_made_harmless() -> None:
    assert Narrator(ASCII, verbose=False).tell(ev.Note("warning", "a\r\x1b[2Jb")) == [Line("warn", "a ?[2Jb")]
