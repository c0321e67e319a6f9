"""Every way in which a run can end: its stream fits the published schema, and its figures are those of the disk."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.core.model import HubName
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from tests.cli.test_upkeep import flip
from tests.end_to_end.conftest import Hubs, hubs
from tests.stream.reading import Told, bytes_on_disk, bytes_told, flags, read, run, traffic_adds_up
from tests.support.faults import FlipBit, Rule, Status, Throttle
from tests.support.recorder import Kind
from tests.support.trees import content_of, make_catalogue, make_repo, tree_digests

MIB = 1 << 20
SAME = content_of("same", 2 * MIB)
GOOD_SIZE = 9 * MIB + 5
GOOD = {"model.bin": GOOD_SIZE, "same.bin": SAME, "vocab.txt": 60_000, "config.json": 300, "empty.txt": b""}
MORE = {"more.bin": 3 * MIB, "as/well.bin": SAME, "config.json": 310}
WANTED = ("--skip-main", "--model", "made/Good")
BOTH = (*WANTED, "--model", "made/More")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hub")
    make_repo(made, "made/Good", GOOD)
    make_repo(made, "made/More", MORE)
    return made


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Hubs]:
    with hubs(root) as pair:
        yield pair


@pytest.fixture
def pair(served: Hubs) -> Iterator[Hubs]:
    """The hubs, without the faults that the test before has given them."""
    rules = [hub.faults.rules for hub in (served.hf, served.ms)]
    for each in rules:
        each.clear()
    yield served
    for each in rules:
        each.clear()


def faulty(pair: Hubs, *rules: Rule) -> None:
    for hub in (pair.hf, pair.ms):
        hub.faults.rules.extend(rules)


def is_right(told: Told, root: Path, folder: Path, *repos: str) -> None:
    assert told.code == 0, told.err
    assert told.err == ""
    assert (told.summary["retryable"], told.summary["error"]) == (False, None)
    for repo in repos:
        assert tree_digests(folder / repo.split("/")[1]) == tree_digests(root / repo)
    assert bytes_told(told) == bytes_on_disk(folder)
    assert traffic_adds_up(told)


def test_a_run_and_one_with_nothing_to_do(pair: Hubs, root: Path, tmp_path: Path) -> None:
    told = run(pair, tmp_path, *BOTH)
    is_right(told, root, tmp_path / "out", "made/Good", "made/More")
    assert told.lines[0]["command"] == "get"
    assert told.summary["changed"]
    assert told.summary["avg_bps"] == pytest.approx(told.summary["bytes_fetched"] / told.summary["seconds"], rel=0.05)
    assert told.summary["models"] == {"Good": "ready", "More": "ready"}
    assert [line["copied"] for line in told.of("file_done") if line["copied"]] == [len(SAME)]
    again = run(pair, tmp_path, *BOTH)
    is_right(again, root, tmp_path / "out")
    assert not again.summary["changed"]
    assert again.of("plan") == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_and_the_one_that_goes_on(
    number: int, code: int, pair: Hubs, root: Path, tmp_path: Path
) -> None:
    faulty(pair, Rule(Throttle(500_000.0), method=None))
    process = pair.start(*flags(tmp_path), *WANTED, "-x", "4")
    assert process.stdout
    before = ""
    while '"bytes_done"' not in before or '"bytes_done":0' in before.splitlines()[-1]:
        before += process.stdout.readline()
    process.send_signal(number)
    told = read(process, tmp_path, before)
    assert told.code == code
    assert told.summary["models"] == {"Good": "stopped"}
    assert told.summary["retryable"]
    assert told.err == ""
    for hub in (pair.hf, pair.ms):
        hub.faults.rules.clear()
    rest = run(pair, tmp_path, *WANTED)
    is_right(rest, root, tmp_path / "out", "made/Good")
    assert sum(line["held"] for line in rest.of("file_done")) == rest.of("plan")[0]["partial"] > 0


def test_a_piece_that_was_wrong_is_counted_once(pair: Hubs, root: Path, tmp_path: Path) -> None:
    pair.hf.faults.rules += [Rule(FlipBit(at=at), path="model.bin") for at in range(0, GOOD_SIZE, MIB)]
    told = run(pair, tmp_path, *WANTED, "-x", "4", "--prefer-source", "huggingface")
    is_right(told, root, tmp_path / "out", "made/Good")
    assert {line["culprit"] for line in told.of("piece_repaired")} == {"huggingface"}
    assert told.summary["bytes_dropped"] > 0
    assert told.summary["bytes_compared"] > 0


def test_a_small_file_that_was_wrong_at_one_hub(pair: Hubs, root: Path, tmp_path: Path) -> None:
    pair.hf.faults.rules.append(Rule(FlipBit(at=5), path="vocab.txt"))
    pair.ms.faults.rules.append(Rule(Status(503), path="vocab.txt", first=3))  # so that the liar is asked
    told = run(pair, tmp_path, *WANTED)
    is_right(told, root, tmp_path / "out", "made/Good")


def test_repairs_are_one_stream(pair: Hubs, root: Path, tmp_path: Path) -> None:
    assert run(pair, tmp_path, *BOTH).code == 0
    folder = tmp_path / "out"
    whole = read(pair.start("repair", *flags(tmp_path)), tmp_path)
    is_right(whole, root, folder)
    assert not whole.summary["changed"]
    flip(folder / "Good" / "model.bin", 5 * MIB)
    (folder / "More" / "config.json").unlink()
    told = read(pair.start("repair", *flags(tmp_path)), tmp_path)
    is_right(told, root, folder, "made/Good", "made/More")
    assert told.lines[0]["command"] == "repair"
    assert told.lines[0]["models"] == ["Good", "More"]
    checked = {line["path"]: line["condition"] for line in told.of("file_checked")}
    assert {path: how for path, how in checked.items() if how != "right"} == {
        "Good/model.bin": "damaged",
        "More/config.json": "missing",
    }
    assert told.summary["models"] == {"Good": "ready", "More": "ready"}
    assert told.summary["changed"]
    assert 0 < told.summary["bytes_fetched"] < 5 * MIB


# -- failures ---------------------------------------------------------------------------------------------------------

REFUSED = [
    Rule(Status(401, {"X-Error-Code": "GatedRepo"}), kind=Kind.RESOLVER, method=None),
    Rule(Status(403), kind=Kind.CONTENT, method=None),
]
WRONG = [Rule(FlipBit(at=7), path="vocab.txt")]
NOWHERE = {
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9",
    "ACESTEP_FETCH_PROBE_URL": "http://127.0.0.1:9/",
}
NO_ROOM = "from acestep_fetch.storage import platform\nplatform.free_bytes = lambda folder: 8 << 20"


@pytest.mark.parametrize(
    ("code", "name", "retryable", "arguments", "how"),
    [
        (2, "usage", False, ["--model", "nonsense"], {}),
        (2, "usage", False, ["--bogus"], {}),
        (2, "usage", False, ["--connections", "many"], {}),
        (3, "not-found", False, ["--skip-main", "--model", "nobody/nothing"], {}),
        (4, "access", False, WANTED, {"rules": REFUSED}),
        (5, "network", True, WANTED, {"environment": NOWHERE}),
        (6, "integrity", False, WANTED, {"rules": WRONG}),
        (7, "disk-full", False, WANTED, {"patch": NO_ROOM}),
        (8, "disk", False, WANTED, {"blocked": True}),
        (9, "lease", True, WANTED, {"held": True}),
        (10, "partial", False, BOTH, {"rules": WRONG}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_failure(
    code: int, name: str, retryable: bool, arguments: list[str], how: dict[str, Any], pair: Hubs, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    faulty(pair, *how.get("rules", ()))
    if how.get("blocked"):
        folder.write_text("a file, and no folder")
    lease = Lease.take(Layout(folder).lease) if how.get("held") else None
    environment = how.get("environment", {}) | {"ACESTEP_FETCH_LEASE_WAIT": "0", "ACESTEP_FETCH_GIVE_UP_AFTER": "2"}
    try:
        told = run(pair, tmp_path, *arguments, patch=how.get("patch", ""), **environment)
    finally:
        if isinstance(lease, Lease):
            lease.release()
    assert told.code == code, told.lines
    (error,) = told.of("error")
    assert (error["error"], error["exit_code"], error["retryable"]) == (name, code, retryable)
    assert (told.summary["error"], told.summary["retryable"]) == (error["message"], retryable)
    assert told.err.count(error["message"].split("models failed: ")[-1]) == 1, "people are told, too, and once"
    assert error["hint"] is None or error["hint"] in told.err
    if code == 10:
        assert (error["model"], error["path"]) == ("Good", None)
        assert told.summary["changed"]
        assert "Good  failed\n" in told.err
        assert "More  ready" in told.err
    if code == 6:
        assert (error["model"], error["path"]) == ("Good", "Good/vocab.txt")
    assert told.summary["changed"] == (code == 10)


@pytest.mark.parametrize("more", [[], ["--check"]], ids=["offline", "offline check"])
def test_what_is_not_ready_offline_is_an_error_too(more: list[str], pair: Hubs, tmp_path: Path) -> None:
    told = run(pair, tmp_path, *WANTED, "--offline", *more)
    assert told.code == 11
    (error,) = told.of("error")
    assert (error["error"], error["exit_code"], error["model"]) == ("incomplete", 11, "Good")
    assert error["message"] == told.summary["error"]
    assert "--offline fetches nothing" in told.err


def test_a_check_names_what_it_was_asked_for(pair: Hubs, tmp_path: Path) -> None:
    assert run(pair, tmp_path, *WANTED).code == 0
    told = run(pair, tmp_path, *BOTH, "--check")
    assert told.code == 11
    start, (error,) = told.lines[0], told.of("error")
    assert (start["directory"], start["models"]) == (str(tmp_path / "out"), ["Good", "More"])
    assert told.summary["models"] == {"Good": "ready", "More": "failed"}
    assert (error["model"], "More: not ready in" in error["message"]) == ("More", True)
    assert run(pair, tmp_path, *WANTED, "--check").summary["models"] == {"Good": "ready"}


def test_a_single_model_that_is_nowhere_fails_by_name_beside_one_that_is_ready(tmp_path: Path) -> None:
    make_catalogue(tmp_path / "hub", scale=1e-5, hub=HubName.HUGGINGFACE, models=["main"])
    with hubs(tmp_path / "hub") as pair:
        for state in ("failed", "ready"):  # nothing of main is fetched along with a name that is wrong
            told = run(pair, tmp_path, "--model", "nobody/nothing")
            assert told.code == 3
            (failed,), (error,) = told.of("model_failed"), told.of("error")
            assert (failed["model"], failed["exit_code"], failed["message"]) == ("nothing", 3, error["message"])
            assert told.summary["models"] == {"main": state, "nothing": "failed"}
            assert told.err.count("no hub has it") == 1
            assert run(pair, tmp_path).code == 0


def test_people_are_told_nothing_of_what_went_well(pair: Hubs, tmp_path: Path) -> None:
    environment = {"MAX_CUDA_VRAM": "6", **NOWHERE}
    told = run(pair, tmp_path, "--for-gpu", "6GB", "--offline", **environment)
    assert "for this GPU" not in told.err
    assert all(line.startswith(("✗", "→")) for line in map(str.strip, told.err.splitlines()))


def test_a_command_that_is_none(pair: Hubs, tmp_path: Path) -> None:
    told = read(pair.start("fetch", *flags(tmp_path)), tmp_path)
    assert told.code == 2
    assert "there is no command 'fetch'" in told.err


# -- signals at other times -------------------------------------------------------------------------------------------

EARLY = """
import sys, time
from acestep_fetch import api
def slowly(*_, **__):
    print('here', file=sys.stderr, flush=True)
    time.sleep(100)
api.up_to_date = slowly
"""
FROZEN = """
import sys, threading
from acestep_fetch.storage import platform
def frozen(*_, **__):
    print('here', file=sys.stderr, flush=True)
    threading.Event().wait(100)
platform.sync_data = frozen
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("patch", [EARLY, FROZEN], ids=["before the loop", "the disk does not answer"])
def test_a_signal_that_no_loop_can_serve(patch: str, number: int, code: int, pair: Hubs, tmp_path: Path) -> None:
    process = pair.start(*flags(tmp_path), *WANTED, patch=patch)
    assert process.stderr
    while "here" not in process.stderr.readline():
        pass
    process.send_signal(number)
    told = read(process, tmp_path)
    assert told.code == code
    assert told.summary["retryable"]


def test_a_signal_while_files_are_checked(pair: Hubs, tmp_path: Path) -> None:
    assert run(pair, tmp_path, *WANTED).code == 0
    slow = """
import time
from acestep_fetch.engine import upkeep
def slowly(layout, file, inspect=upkeep.inspect, **more):
    time.sleep(0.5)
    return inspect(layout, file, **more)
upkeep.inspect = slowly
"""
    process = pair.start("repair", *flags(tmp_path), patch=slow)
    assert process.stdout
    before = ""
    while "file_checked" not in before:
        before += process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    told = read(process, tmp_path, before)
    assert told.code == 143


# -- where nobody wants JSON ------------------------------------------------------------------------------------------

MODES = ["--progress plain", "-q", "-v", "--progress bar", "--json", "--json -q"]
FAULTS = {"success": [], "failure": WRONG, "signal": [Rule(Throttle(200_000.0), method=None)]}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ending", ["success", "failure", "signal"])
def test_no_control_byte_without_a_terminal(mode: str, ending: str, pair: Hubs, tmp_path: Path) -> None:
    faulty(pair, *FAULTS[ending])
    where = ("--dir", str(tmp_path / "out"), "-x", "4")
    process = pair.start(*where, *BOTH, *mode.split(), FORCE_COLOR="1", NO_COLOR="", TERM="xterm-256color")
    if ending == "signal":
        _until(lambda: pair.connections)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == {"success": 0, "failure": 10, "signal": 143}[ending], err
    assert not {"\r", "\x1b"} & set(out + err)
    if "--json" in mode:
        assert all(line.startswith('{"v":1,"seq":') for line in out.splitlines())
    elif mode == "-q" and ending != "signal":
        folders = [str(tmp_path / "out" / name) for name in (("Good", "More") if ending == "success" else ("More",))]
        assert out.split() == folders
    else:
        assert out == ""
    if ending == "failure":
        assert "Good  failed" in err, "what failed is told to people in every mode"


def _until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.01)


@pytest.mark.parametrize("progress", ["json", "plain"])
def test_a_dry_run_is_summed_up_too(progress: str, pair: Hubs, tmp_path: Path) -> None:
    process = pair.start(*flags(tmp_path), *WANTED, "--dry-run", "--progress", progress)
    if progress == "json":
        told = read(process, tmp_path)
        assert (told.summary["models"], told.summary["changed"]) == ({"Good": "planned"}, False)
        return
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Good/model.bin" in out
    summed_up = json.loads((tmp_path / "summary.json").read_bytes())
    assert (summed_up["exit_code"], summed_up["models"]) == (0, {"Good": "planned"})
