"""The plain functions, in processes of their own and on a running loop: what they return, raise, keep and leave."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import acestep_fetch as af
from acestep_fetch import events
from acestep_fetch.core.lock import LOCK_NAME
from acestep_fetch.storage.lease import Lease
from tests.client.conftest import LARGE, LM, MIB, SIZE, started
from tests.end_to_end.conftest import Hubs
from tests.support.faults import Rule, Status
from tests.support.trees import tree_digests

IMPORTED = "import sys; {}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
NETWORK = {"aiohttp", "httpx", "huggingface_hub", "modelscope", "rich", "ssl"}


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.01)


def test_a_first_run_and_a_second(here: Path, pair: Hubs) -> None:
    told = list[events.Event]()
    report = af.fetch(LM, on_event=told.append)
    assert report.models == {LM: "ready"}, "what is named and nothing else"
    assert report.folders == (str(here / "checkpoints" / LM),)
    assert tree_digests(Path(report.folders[0])) == tree_digests(pair.hf.hub.setup.root / "ACE-Step" / LM)
    assert isinstance(told[0], events.RunStarted)
    assert isinstance(told[-1], events.RunFinished)
    got = sum(event.count for event in told if isinstance(event, events.BytesReceived))
    assert got == report.bytes_fetched > 0
    asked = len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries)
    assert af.ensure("0.6B", dir=here / "checkpoints") == (here / "checkpoints" / LM,)
    assert af.fetch(LM).bytes_fetched == 0
    assert len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries) == asked


def test_what_is_asked_for(here: Path, pair: Hubs) -> None:
    assert af.fetch(LM, dir="some", include="*.json", prefer_source="modelscope", jobs=2, limit_rate="50MB/s").models
    assert {path.suffix for path in (here / "some" / LM).iterdir() if path.is_file()} == {".json"}
    with pytest.raises(af.UsageError, match="there is no model called 'nonsense'"):
        af.fetch("nonsense")
    with pytest.raises(af.UsageError, match="not a size"):
        af.fetch(limit_rate="fast")
    with pytest.raises(TypeError, match="no setting 'directory'"):
        af.fetch(directory="x")  # type: ignore[call-arg]
    assert af.fetch("acestep-v15-turbo", dir="parts").models == {"main": "ready"}, "a component comes with its model"


def test_names_come_in_lists_too(here: Path, pair: Hubs) -> None:
    assert af.plan([LM]).models == {LM: "planned"}
    assert af.fetch([LM]).models == {LM: "ready"}
    assert af.ensure({"0.6B": 1}.keys()) == af.ensure((LM,)) == af.ensure(name for name in [LM])
    assert [found.receipt.model for found in af.verify([LM])] == [LM]
    assert [model.name for model in af.lock([LM], path=here / "a.lock").models] == [LM]

    async def streamed() -> object:
        async with af.AsyncClient() as client:
            return await client.ensure([LM])

    assert asyncio.run(streamed()) == af.ensure(LM)
    calls: list[Callable[[object], object]] = [af.fetch, af.plan, af.ensure, af.lock, af.verify]  # type: ignore[list-item]
    for call in calls:
        for models, said in (([], "is empty"), (None, "None is no name"), ([LM, 7], "7 is no name")):
            with pytest.raises(af.UsageError, match=said) as caught:
                call(models)
            assert caught.value.hint


def test_options_in_place_of_the_environment(here: Path, pair: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = {"huggingface_endpoint": pair.hf.url, "modelscope_endpoint": pair.ms.url}
    options = af.Options(directory=here / "a", models=(LM,), skip_main=True, **endpoints)
    monkeypatch.setenv("ACESTEP_CHECKPOINTS_DIR", str(here / "b"))
    assert af.ensure(options=options) == (here / "a" / LM,)
    assert af.ensure(options=options, dir=here / "c") == (here / "c" / LM,), "a keyword wins"


def test_an_error_is_raised_and_tells_whether_to_try_again(here: Path, pair: Hubs) -> None:
    for hub in (pair.hf, pair.ms):
        hub.faults.rules.append(Rule(Status(404), path="vocab.txt"))
    with pytest.raises(af.PartialError) as caught:
        af.fetch(LM, LARGE)
    assert (caught.value.exit_code, caught.value.retryable) == (10, False), "nothing will bring that file"
    report = af.fetch(LM, LARGE, check=False)
    assert report.models == {LM: "ready", "large": "failed"}
    assert isinstance(report.error, af.NotFoundError), "what was ready before does not count"
    assert report.to_dict()["error"] == report.error.message
    with pytest.raises(af.NotFoundError) as missing:
        af.fetch("nobody/nothing")
    assert (missing.value.exit_code, missing.value.retryable) == (3, False)


def test_a_listener_that_raises_or_is_slow_harms_nothing(
    here: Path, pair: Hubs, caplog: pytest.LogCaptureFixture
) -> None:
    """It is called in this thread; the transfer, in another one, goes on meanwhile."""
    threads, got = set[str](), list[int]()

    def listen(event: events.Event) -> None:
        threads.add(threading.current_thread().name)
        if isinstance(event, events.BytesReceived):
            got.append(event.count)
            if len(got) == 1:
                until(lambda: (here / "checkpoints" / "large").exists())
        raise RuntimeError("of the application")

    with caplog.at_level(logging.ERROR):
        report = af.fetch(LARGE, on_event=listen)
    assert sum(got) == report.bytes_fetched == SIZE + 70_300
    assert threads == {threading.current_thread().name}
    assert "of the application" in caplog.text


def test_cancelling_is_a_stop_in_order_and_the_next_run_goes_on(here: Path, pair: Hubs) -> None:
    stop, got, last = threading.Event(), list[int](), list[events.Event]()

    def listen(event: events.Event) -> None:
        last[:] = [event]
        if isinstance(event, events.BytesReceived):
            got.append(event.count)
            if sum(got) > 15 * MIB:
                stop.set()

    with pytest.raises(af.StoppedError) as caught:
        af.fetch(LARGE, on_event=listen, cancel=stop)
    assert (caught.value.exit_code, caught.value.retryable) == (130, True)
    assert isinstance(last[0], events.RunFinished)
    assert last[0].models == {"large": "stopped"}
    assert not (here / "checkpoints" / "large").exists()
    lease = Lease.take(here / "checkpoints" / ".acestep-fetch" / "lease")
    assert isinstance(lease, Lease), "nobody writes there any more"
    lease.release()
    (asked,) = af.status().asked
    assert (asked.model, asked.state) == ("large", af.State.PARTIAL)
    report = af.fetch(LARGE)
    assert report.bytes_reused >= 0.9 * sum(got)
    assert report.bytes_fetched <= SIZE + 70_300 - report.bytes_reused + 2 * MIB
    assert tree_digests(here / "checkpoints" / "large") == tree_digests(pair.hf.hub.setup.root / LARGE)


def test_a_cancel_that_is_set_before_fetches_nothing(here: Path, pair: Hubs) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(af.StoppedError):
        af.fetch(LARGE, cancel=stop)
    assert pair.sent == 0
    af.ensure(LM)
    assert af.ensure(LM, cancel=stop), "what is ready needs no time"


def test_ctrl_c_is_a_stop_in_order_and_no_handler_is_set(pair: Hubs, tmp_path: Path) -> None:
    code = (
        "import signal, sys, acestep_fetch as af\n"
        "before = [signal.getsignal(n) for n in range(1, signal.NSIG)]\n"
        "def listen(event):\n"
        "    if event.name == 'bytes': assert before == [signal.getsignal(n) for n in range(1, signal.NSIG)]\n"
        "    if event.name == 'summary': print(event.exit_code, flush=True)\n"
        f"af.fetch({LARGE!r}, dir='there', on_event=listen)"
    )
    process = started(pair, code, tmp_path)
    until(lambda: pair.sent > 10 * MIB)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (-signal.SIGINT, "130\n"), err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "a listener failed" not in err
    ran = pair.run("--dir", str(tmp_path / "there"), "--skip-main", "-m", LARGE, "-n", "--progress", "json")
    plan = next(event for event in map(json.loads, ran.stdout.splitlines()) if event["event"] == "plan")
    assert plan["partial"] > 5 * MIB


async def test_on_a_running_loop(here: Path) -> None:
    """Held up, but neither used nor replaced."""
    loop = asyncio.get_running_loop()
    threads = set[str]()
    report = af.fetch(LM, on_event=lambda event: threads.add(threading.current_thread().name))
    assert report.exit_code == 0
    assert threads == {threading.current_thread().name}
    assert asyncio.get_running_loop() is loop
    assert (await asyncio.to_thread(af.verify))[0].receipt.model == LM


def test_eight_processes_that_ensure_main_make_one_download_and_eight_successes(pair: Hubs, tmp_path: Path) -> None:
    code = "import acestep_fetch as af, json; print(json.dumps([str(each) for each in af.ensure('main', dir='there')]))"
    running = [started(pair, code, tmp_path) for _ in range(8)]
    ended = [(process.communicate(timeout=100), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 8, [err for (_, err), _ in ended]
    folders = {out for (out, _), _ in ended}
    assert len(folders) == 1
    assert {Path(folder).name for folder in json.loads(folders.pop())} > {"vae", "acestep-v15-turbo"}
    size = sum(path.stat().st_size for path in (tmp_path / "there").rglob("*") if ".acestep-fetch" not in path.parts)
    print(f"\n{pair.sent / size:.3f} of the bytes were served")
    assert pair.sent <= 1.05 * size


def test_a_plan_changes_nothing(here: Path, pair: Hubs) -> None:
    plan = af.plan("main", LM)
    assert (plan.fits, plan.models) == (True, {"main": "planned", LM: "planned"})
    assert plan.bytes_fetch + plan.bytes_shared == plan.bytes_total > plan.bytes_fetch > 0
    assert {file.model for file in plan.files} == {"main", LM}
    assert not (here / "checkpoints").exists()
    af.fetch(LM)
    again = af.plan("main", LM)
    assert again.models == {"main": "planned", LM: "ready"}
    assert again.bytes_here == sum(file.size for file in again.files if file.model == LM) > 0


async def test_a_lock_holds_what_may_be_fetched(here: Path, pair: Hubs) -> None:
    """On a running loop, which no function minds."""
    assert inspect.signature(af.lock).parameters["path"].default == LOCK_NAME
    lock = af.lock(LM, path="a.lock")
    assert lock.to_dict() == json.loads((here / "a.lock").read_text())
    assert af.lock(LM, path="") == lock
    assert (here / LOCK_NAME).read_bytes() == (here / "a.lock").read_bytes()
    assert af.fetch(lock="a.lock").models == {LM: "ready"}
    with pytest.raises(af.LockedError) as caught:
        af.fetch("acestep-v15-sft", lock="a.lock")
    assert (caught.value.exit_code, caught.value.retryable) == (12, False)
    asked = len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries)
    assert af.ensure(LM, offline=True) == (here / "checkpoints" / LM,)
    with pytest.raises(af.IncompleteError):
        af.ensure("main", offline=True)
    assert len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries) == asked


def test_damage_is_found_and_models_tell_where_they_stand(here: Path, pair: Hubs) -> None:
    with pytest.raises(af.IncompleteError):
        af.verify()
    (folder,) = af.ensure(LM)
    assert [len(each.faults) for each in af.verify(LM)] == [0]
    assert next(model for model in af.models() if model.name == LM).state is af.State.READY
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    (verification,) = af.verify(dir="checkpoints")
    assert [finding.file.path for finding in verification.faults] == [f"{LM}/model.safetensors"]
    assert verification.to_dict()["right"] is False
    assert next(model for model in af.models() if model.name == "main").state is af.State.ABSENT
    stop = threading.Event()
    stop.set()
    with pytest.raises(af.StoppedError):
        af.verify(cancel=stop)


def test_every_result_and_event_is_json(here: Path, pair: Hubs) -> None:
    told = list[events.Event]()
    report = af.fetch(LM, on_event=told.append)
    results = [report, af.plan(LM), *af.verify(), *af.models(), af.status(), *af.plan("main").files]
    for each in (*results, *told):
        assert json.loads(json.dumps(each.to_dict())) == each.to_dict()
        assert type(each).__dataclass_params__.frozen  # type: ignore[attr-defined]
    last, as_dict = told[-1].to_dict(), report.to_dict()
    assert last["event"] == "summary"
    assert {name: last[name] for name in last.keys() & as_dict} == {
        name: as_dict[name] for name in last.keys() & as_dict
    }


def test_the_stream_and_the_api_have_the_same_events(here: Path, pair: Hubs) -> None:
    """All but bytes, which the stream samples, and what only it has."""
    told = list[events.Event]()
    af.fetch(LM, on_event=told.append, dir="one")
    ran = pair.run("--dir", str(here / "two"), "--skip-main", "-m", LM, "--progress", "json")
    stream = {line["event"]: line for line in map(json.loads, ran.stdout.splitlines())}
    for event in told:
        if event.name in stream:
            assert event.to_dict().keys() == stream[event.name].keys() - {"v", "seq", "ts"}
    assert {event.name for event in told} >= {"start", "plan", "file_done", "model_ready", "summary"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import acestep_fetch", NETWORK | {"asyncio", "socket", "dataclasses", "logging", "tomllib"}),
        (
            "from acestep_fetch import fetch, ensure, plan, verify, models, status, lock, Report, FetchError",
            NETWORK | {"asyncio"},
        ),
        ("import acestep_fetch as af; af.models(); af.status()", NETWORK | {"asyncio"}),
        (
            "from acestep_fetch import fetch, ensure, models",
            NETWORK | {"asyncio", "dataclasses", "tomllib", "concurrent"},
        ),
        ("from acestep_fetch import AsyncClient, Download", NETWORK - {"ssl"}),
    ],
)
def test_what_an_import_costs(code: str, absent: set[str], pair: Hubs, tmp_path: Path) -> None:
    out, err = started(pair, IMPORTED.format(code), tmp_path).communicate(timeout=60)
    assert out, err
    assert absent.isdisjoint(out.split()), absent & set(out.split())


def test_importing_it_changes_nothing(pair: Hubs, tmp_path: Path) -> None:
    code = (
        "import gc, logging, os, signal, sys, threading\n"
        "def state(): return [gc.get_threshold(), dict(os.environ), sys.excepthook, threading.excepthook,\n"
        "  threading.enumerate(), logging.getLogger().handlers[:],\n"
        "  [signal.getsignal(n) for n in range(1, signal.NSIG)]]\n"
        "before = state()\n"
        "import acestep_fetch as af\n"
        f"af.ensure({LM!r}, dir='there')\n"
        "import time\n"
        "for _ in range(100): time.sleep(0.02 * (state()[4] != before[4]))\n"
        "changed = [n for n, (old, new) in enumerate(zip(before, state())) if old != new]\n"
        "assert not changed, changed"
    )
    process = started(pair, code, tmp_path)
    assert (*process.communicate(timeout=60), process.returncode) == ("", "", 0)


def test_every_public_name_is_found() -> None:
    assert {name for name in af.__all__ if getattr(af, name, None) is None} == set()
    assert set(af.__all__) <= set(dir(af))
    made = {kind for kind in events.Event.__subclasses__() if kind.__module__ == events.Event.__module__}
    assert {kind.__name__ for kind in made} <= set(vars(events))
