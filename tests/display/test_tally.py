from __future__ import annotations

import pytest

from acestep_fetch.core import events as ev
from acestep_fetch.core.events import ROOT_FILES
from acestep_fetch.display.tally import Phase, Tally

GB = 10**9


def tally(*events: ev.Event) -> Tally:
    counted = Tally(0.0)
    for event in events:
        counted.update(event, 0.0)
    return counted


def plan(total: int = 100, present: int = 0, partial: int = 0, files: int = 2) -> ev.PlanMade:
    return ev.PlanMade(("m",), files, total, present, partial, total - present - partial, 10**9, {})


def test_done_is_present_and_held_and_received_less_dropped() -> None:
    view = tally(
        plan(100, present=10, partial=20),
        ev.FileStarted("a/x", 90, 20),
        ev.BytesReceived("a/x", "hf", 40),
        ev.BytesDropped("a/x", 5, "wrong"),
    ).view(0.0)
    assert (view.done, view.total, view.reused) == (65, 100, 30)
    assert [(b.path, b.done, b.size) for b in view.busy] == [("a/x", 55, 90)]


def test_a_copy_of_an_identical_file_counts_when_it_is_verified() -> None:
    counted = tally(plan(100), ev.FileStarted("a/x", 50, 0), ev.BytesReceived("a/x", "hf", 50))
    counted.update(ev.FileVerified("a/x", 50, "d", {"hf": 50}, 1.0), 0.0)
    counted.update(ev.FileVerified("b/x", 50, "d", {}, 0.0), 0.0)
    view = counted.view(0.0)
    assert (view.done, view.files_done, view.phase) == (100, 2, Phase.VERIFYING)


def test_what_other_folders_have_counts_when_it_is_taken() -> None:
    made = ev.PlanMade(("m",), 2, 100, 10, 0, 30, 10**9, {}, adoptable=60)
    assert tally(made).view(0.0).done == 10
    assert tally(made, ev.FileAdopted("a/x", 60, "/old/x", "copy")).view(0.0).done == 70


def test_the_late_twin_of_a_verified_span_changes_nothing() -> None:
    counted = tally(
        plan(100), ev.FileStarted("a/x", 50, 0), ev.BytesReceived("a/x", "hf", 50),
        ev.FileVerified("a/x", 50, "d", {}, 1.0), ev.FileVerified("a/x", 50, "d", {}, 1.0),
        ev.BytesReceived("a/x", "ms", 5), ev.BytesDropped("a/x", 5, "twin"),
    )  # fmt: skip
    assert counted.view(0.0).done == 50
    assert counted.view(0.0).by_source == {"hf": 50, "ms": 5}


def test_what_is_only_compared_is_traffic_and_no_progress() -> None:
    counted = tally(plan(100), ev.FileStarted("a/x", 50, 0), ev.BytesCompared("a/x", "ms", 8))
    view = counted.view(0.0)
    assert (view.done, view.busy[0].done, dict(view.by_source)) == (0, 0, {"ms": 8})
    assert view.speed > 0
    assert view.eta is None


def test_done_never_exceeds_the_total() -> None:
    assert tally(plan(10), ev.BytesReceived("a/x", "hf", 50)).view(0.0).done == 10


def test_a_ready_component_counts_with_all_its_files() -> None:
    counted = tally(plan(files=9), ev.FileReused("a/x", 1), ev.ComponentReady("a", 4, 10), ev.FileReused("b/x", 1))
    assert (counted.view(0.0).files_done, counted.view(0.0).files_total) == (5, 9)


def test_speed_is_that_of_the_last_seconds_and_fades() -> None:
    counted = tally(plan(1000 * GB))
    for tenth in range(100):
        counted.update(ev.BytesReceived("a/x", "hf", 10**7), tenth / 10)
    assert counted.view(9.9).speed == pytest.approx(1e8, rel=0.1)
    assert counted.view(9.9).eta == pytest.approx((1000 * GB - GB) / 1e8, rel=0.1)
    assert counted.view(12.0).speed == pytest.approx(0.5e8, rel=0.15)
    assert (counted.view(14.0).speed, counted.view(14.0).eta) == (0.0, None)
    assert counted.view(14.0).idle == pytest.approx(4.1)


def test_a_first_burst_is_not_taken_for_a_speed() -> None:
    counted = tally(plan(), ev.BytesReceived("a/x", "hf", 100))
    assert counted.view(0.0).speed == 200


def test_phases_follow_one_another() -> None:
    counted, seen = Tally(0.0), []
    for event in (
        ev.RunStarted("1", "/", ("m",)),
        ev.SourcesChosen(("hf",), ""),
        ev.SourceProbed("ms", False, 3.0, "timeout", ""),  # a late one changes nothing
        ev.Waiting("another process writes here", 60.0),
        plan(10),
        ev.Waiting("asked to slow down", 5.0),
        ev.BytesReceived("a/x", "hf", 10),
        ev.RunFinished(0, {}, 1, 0, 10, 0, {}, 1.0),
    ):
        counted.update(event, 0.0)
        seen.append(str(counted.view(0.0).phase))
    assert seen == [
        "probing", "planning", "planning", "waiting", "downloading", "waiting", "verifying", "finished",
    ]  # fmt: skip


def test_the_busiest_are_the_largest_that_move_in_their_own_order() -> None:
    counted = tally(plan())
    for index, size in enumerate((5, 900, 800, 7, 600, 500)):
        counted.update(ev.FileStarted(f"a/{index}", size, 0), 0.0)
    for index in (0, 2, 3, 4, 5):
        counted.update(ev.BytesReceived(f"a/{index}", "hf", 1), 10.0)
    assert [busy.path for busy in counted.view(10.0).busy] == ["a/2", "a/3", "a/4", "a/5"]


def test_a_later_plan_replaces_an_earlier_one() -> None:
    view = tally(plan(100), ev.BytesReceived("a/x", "hf", 40), plan(200, present=40)).view(0.0)
    assert (view.done, view.total) == (40, 200)


def test_files_in_no_folder_are_counted_once() -> None:
    tally = Tally(0.0)
    tally.update(ev.PlanMade(("main",), 4, 40, 0, 0, 40, None, {}), 0.0)
    for path in ("config.json", "README.md", "vae/config.json"):
        tally.update(ev.FileVerified(path, 10, "sha256:00", {}, 1.0), 0.0)
    tally.update(ev.ComponentReady(ROOT_FILES, 2, 20), 0.0)
    assert tally.view(0.0).files_done == 3
