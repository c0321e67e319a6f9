"""Several threads and processes at once, event loops, signals, terminals: wherever an application may call from."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acestep_fetch.compat import model_downloader as m
from acestep_fetch.compat import running
from acestep_fetch.core.model import HubName
from tests.compat.conftest import INSTALL, ROOT, Application
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.trees import OWNER, make_catalogue

LM = "acestep-5Hz-lm-0.6B"


def _size(roots: dict[HubName, Path], model: str) -> int:
    return sum(path.stat().st_size for path in (roots[HubName.HUGGINGFACE] / OWNER / model).rglob("*"))


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.01)


def test_eight_processes_make_one_download_and_eight_successes(
    application: Application, roots: dict[HubName, Path]
) -> None:
    code = "from acestep.model_downloader import ensure_main_model\ntold = ensure_main_model('there')"
    running = [application.start(application.code(code)) for _ in range(8)]
    assert [application.ended(process)[0] for process in running] == [True] * 8
    assert application.hubs.sent < 2 * _size(roots, "Ace-Step1.5")  # a hedge may cost some of so little


async def test_threads_on_a_running_loop_make_one_download(
    here: Path, pair: Hubs, roots: dict[HubName, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """As FastAPI and Gradio call plain functions."""
    answers = await asyncio.gather(*(asyncio.to_thread(m.ensure_lm_model, "0.6B") for _ in range(6)))
    assert [ok for ok, _ in answers] == [True] * 6, answers
    assert pair.sent < 2 * _size(roots, LM)
    shown = capfd.readouterr().err
    assert (shown.count("Sources: "), shown.count("up to date")) == (1, 0), "one of them shows its progress"


async def test_a_call_on_the_running_loop_itself(here: Path) -> None:
    loop = asyncio.get_running_loop()
    assert m.ensure_lm_model("0.6B")[0]
    assert m.ensure_model_downloaded(LM, "checkpoints") == f"checkpoints/{LM}"
    assert asyncio.get_running_loop() is loop
    await asyncio.sleep(0)


class Forbidden(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        raise AssertionError("the application's kind of loop was asked for")


def test_no_loop_of_the_application_is_used_or_replaced(here: Path) -> None:
    before, loop = asyncio.get_event_loop_policy(), asyncio.new_event_loop()
    asyncio.set_event_loop_policy(Forbidden())
    asyncio.set_event_loop(loop)
    try:
        ok, message = m.ensure_lm_model("0.6B")
        assert ok, message
        assert asyncio.get_event_loop() is loop
        assert not loop.is_closed()
    finally:
        asyncio.set_event_loop(None)
        asyncio.set_event_loop_policy(before)
        loop.close()


def test_who_needs_nothing_waits_for_nobody(here: Path) -> None:
    assert m.ensure_lm_model("0.6B")[0]
    with running._turn, ThreadPoolExecutor(1) as pool:  # somebody downloads
        assert pool.submit(m.ensure_lm_model, "0.6B").result(10)[0]
        assert pool.submit(m.download_submodel, LM).result(10)[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_a_process_that_downloads_can_download(application: Application) -> None:
    told = application.run(
        "import os\nfrom acestep_fetch.compat import model_downloader as m, running\n"
        "with running._turn:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os._exit(0 if m.ensure_lm_model('0.6B', 'there')[0] else 1)\n"
        "    told = os.waitpid(child, 0)[1]"
    )
    assert told == 0


ON_A_LOOP = """
import asyncio
async def handler():
    print(ensure_lm_model('0.6B', 'there'))
asyncio.run(handler())
"""
WITH_HANDLERS = """
import asyncio, signal
async def server():
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    print(ensure_lm_model('0.6B', 'there'))
    await told.wait()
    print("shut down in order")
asyncio.run(server())
"""
IN_A_CALL = "print(ensure_lm_model('0.6B', 'there'))"
STOPPED = "(False, 'the download was stopped. What to do: start it again: what has arrived is kept')\n"


@pytest.mark.parametrize(
    ("call", "number", "code", "told"),
    [
        (IN_A_CALL, signal.SIGINT, -signal.SIGINT, ""),
        (ON_A_LOOP, signal.SIGINT, -signal.SIGINT, STOPPED),
        (WITH_HANDLERS, signal.SIGTERM, 0, f"{STOPPED}shut down in order\n"),
    ],
    ids=["in a plain call", "on a loop", "on a loop with handlers of its own"],
)
def test_a_signal_ends_it_soon_and_what_there_is_is_kept(
    call: str, number: int, code: int, told: str, tmp_path: Path
) -> None:
    root = tmp_path / "hub"
    make_catalogue(root, scale=0.02, hub=HubName.HUGGINGFACE, models=[LM])
    with hubs(root, throttle=0.25e6) as pair:
        application = Application(pair, tmp_path)
        process = application.start(["-c", f"{INSTALL}from acestep.model_downloader import ensure_lm_model\n{call}"])
        _until(lambda: pair.sent > 6e6)
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - began
        assert (process.returncode, out) == (code, told), err
        assert "kept; run the same command to continue" in err
        assert not (tmp_path / "there" / LM).exists()
        dry = pair.run("--dir", str(tmp_path / "there"), "--skip-main", "-m", LM, "-n", "--progress", "json")
        plan = next(event for event in events(dry.stdout) if event["event"] == "plan")
        assert plan["partial"] + plan["present"] > 3e6
    print(f"\nended after {took:.2f} s")
    assert took < 1.0 * 5


def _on_a_terminal(application: Application, **environment: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", f"{INSTALL}from acestep.model_downloader import ensure_lm_model as e\ne('0.6B', 'a')"],
        cwd=application.folder,
        env={**application.hubs.environment(), "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 65536):
            shown += more
    except OSError:  # that is how Linux tells the end of a terminal
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode()


def test_bars_on_a_terminal_and_lines_where_the_application_wants_no_bars(application: Application) -> None:
    plain = _on_a_terminal(application, ACESTEP_DISABLE_TQDM="1")
    assert f"{LM} ready" in plain
    assert "\x1b" not in plain
    subprocess.run(["rm", "-rf", str(application.folder / "a")], check=True)
    assert "\x1b" in _on_a_terminal(application)


def test_without_any_stderr_it_works_too(application: Application) -> None:
    """As under pythonw and some service managers."""
    told = application.run(
        "import sys\nsys.stderr = None\nfrom acestep.model_downloader import ensure_lm_model\n"
        "told = ensure_lm_model('0.6B', 'a')"
    )
    assert told[0] is True
