"""Commands that look: what is told of a run in another process and of what it left, and what `clean` makes of that."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from acestep_fetch.cli import wait
from acestep_fetch.cli.main import main
from acestep_fetch.core.errors import DiskError
from acestep_fetch.engine.standing import models
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Holder, Lease
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt
from tests.cli.conftest import Run
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.faults import Rule, Throttle
from tests.support.trees import make_repo, tree_digests

MIB = 1 << 20
REPO = "someone/large"
SIZE = 24 * MIB + 70_300
GET = ("--skip-main", "--model", REPO, "--progress", "none")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, REPO, {"model.safetensors": 24 * MIB, "config.json": 300, "vocab.txt": 70_000})
    with hubs(root) as served:
        yield served


@contextmanager
def stopped_half_way(pair: Hubs, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has fetched more than a MiB, and stands still: who looks may take as long as it wants."""
    rules = [hub.faults.rules for hub in (pair.hf, pair.ms)]
    for each in rules:
        each.append(Rule(Throttle(1e6), method=None))
    try:
        process = pair.start(*GET, "-x", "1", "--dir", str(folder))
        until(lambda: any(model.held > MIB for model in models(Layout(folder))))
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        for each in rules:
            each.pop()
        process.kill()
        process.communicate()


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.05)


@contextmanager
def at_work(folder: Path, *models: str) -> Iterator[Lease]:
    lease = Lease.take(Layout(folder).lease, models)
    assert isinstance(lease, Lease)
    try:
        yield lease
    finally:
        lease.release()


def test_a_disk_that_does_not_answer_is_not_waited_for(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a receipt that is a pipe: whoever opens it waits for a writer."""
    monkeypatch.setattr(wait, "_PATIENCE", 0.3)
    pipe = here / "checkpoints" / ".acestep-fetch" / "receipts" / "main.json"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    began = time.monotonic()
    ended = run("wait", "main", "--timeout", "0.2")
    os.close(os.open(pipe, os.O_RDWR))  # whoever waits goes on
    assert time.monotonic() - began < 10
    assert ended.code in (8, 11)  # 11 where nobody opens such a thing


def test_whatever_blocks_ends_with_the_time() -> None:
    release = threading.Event()
    with pytest.raises(DiskError, match="does not answer"):
        wait._answered(lambda: int(release.wait()), 0.1, Layout(Path("/x")))
    release.set()
    assert wait._answered(lambda: 7, 5.0, Layout(Path("/x"))) == 7
    with pytest.raises(ZeroDivisionError):
        wait._answered(lambda: 1 // 0, 5.0, Layout(Path("/x")))


def test_a_run_in_another_process_from_its_first_byte_to_its_last(pair: Hubs, tmp_path: Path) -> None:
    out, where = tmp_path / "out", ("--dir", str(tmp_path / "out"))
    layout = Layout(out)
    waiter = pair.start("wait", REPO, *where)  # before anybody is at work
    assert waiter.stderr is not None
    assert "nobody is at work there yet" in waiter.stderr.readline()
    with stopped_half_way(pair, out) as first:
        during = pair.run("status", *where)
        assert during.returncode == 11
        assert f"process {first.pid} on" in during.stdout
        assert "is at work on large for" in during.stdout
        assert "large: partial " in during.stdout
        assert "a kill now costs at most 8 MiB per connection" in during.stdout
        assert f"acestep-fetch wait large --dir {out}" in during.stderr
        assert pair.run("clean", *where).returncode == 9
        assert list(layout.parts.glob("*.part"))
        once = pair.run("wait", "large", "--timeout", "0", *where)
        assert (once.returncode, once.stdout) == (9, "")
        assert f"process {first.pid} on" in waiter.stderr.readline()

    after = pair.run("status", *where)
    assert after.returncode == 11
    assert "at work" not in after.stdout
    assert "1 unfinished file" in after.stdout
    assert "large/model.safetensors: " in after.stdout
    assert f"acestep-fetch --model {REPO} --skip-main --dir {out}" in after.stderr
    document = json.loads(pair.run("status", "--json", *where).stdout)
    (model,), (part,) = document["models"], document["parts"]
    assert (model["state"], model["size"]) == ("partial", SIZE)
    assert MIB < part["held"] <= model["held"] < SIZE
    assert (part["path"], part["size"]) == ("large/model.safetensors", 24 * MIB)
    listed = json.loads(pair.run("list", "--installed", "--json", *where).stdout)["models"]
    assert [(each["name"], each["state"], each["share"]) for each in listed] == [("large", "partial", model["share"])]
    percent = int(100 * model["held"] / SIZE)
    assert f"partial {percent} %" in pair.run("list", *where).stdout
    nobody = pair.run("wait", REPO, "--timeout", "0.2", *where)
    assert nobody.returncode == 11
    assert f"acestep-fetch --model {REPO}" in nobody.stderr

    assert pair.run(*GET, *where).returncode == 0
    ready, _ = waiter.communicate(timeout=30)
    assert (waiter.returncode, ready) == (0, f"{out / 'large'}\n")
    done = pair.run("status", *where)
    assert (done.returncode, done.stderr) == (0, "")
    assert "large: ready, 25.2 MB" in done.stdout
    assert list(layout.begun.iterdir()) == []
    again = pair.run("wait", REPO, "--timeout", "0", "-q", *where)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{out / 'large'}\n", "")


@pytest.mark.parametrize("leaves", [True, False], ids=["and is gone", "and has more to do"])
def test_who_makes_it_ready_at_the_last_moment_is_in_time(
    leaves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between the last look at the model and the look at who is at work."""
    layout = Layout(tmp_path / "out")

    def ends(path: Path, holder: Callable[[Path], Holder | None] = Lease.holder) -> Holder | None:
        (layout.final("vae")).mkdir(parents=True, exist_ok=True)
        code = layout.final("vae") / "code.py"
        code.touch()
        kept = (ReceiptFile("vae/code.py", "vae/code.py", 0, code.stat().st_mtime_ns, "a" * 64),)
        write_receipt(layout.receipts, Receipt("main", "ACE-Step/Ace-Step1.5", {"vae": "huggingface:x"}, {}, kept))
        return None if leaves else holder(path)

    monkeypatch.setattr(Lease, "holder", staticmethod(ends))
    with at_work(layout.root, "main"):
        assert main(["wait", "main", "--timeout", "0", "--dir", str(layout.root)]) == 0
    assert capsys.readouterr() == (f"{layout.final('vae')}\n", "")


def test_what_is_dropped_is_fetched_anew_and_what_is_ready_stays(pair: Hubs, tmp_path: Path) -> None:
    out, where = tmp_path / "out", ("--dir", str(tmp_path / "out"))
    layout = Layout(out)
    assert pair.run(*GET, *where, "--include", "*.json").returncode == 0
    kept = tree_digests(out)
    with stopped_half_way(pair, out):
        pass
    shown = pair.run("clean", "--dry-run", *where)
    assert shown.returncode == 0
    assert "what there is of large/model.safetensors" in shown.stdout
    assert "would be dropped" in shown.stdout
    before = sorted(layout.state.rglob("*"))
    document = json.loads(pair.run("clean", "-n", "--json", *where).stdout)
    assert document["dry_run"]
    assert document["size"] == sum(each["size"] for each in document["dropped"]) >= 24 * MIB
    assert sorted(layout.state.rglob("*")) == before
    dropped = pair.run("clean", *where)
    assert (dropped.returncode, dropped.stderr) == (0, "")
    assert "dropped in" in dropped.stdout
    assert [*layout.parts.iterdir(), *layout.staging.iterdir()] == []
    assert tree_digests(out) == kept
    assert pair.run("status", *where).returncode == 0
    assert "nothing is left over" in pair.run("clean", *where).stdout
    assert pair.run(*GET, "--check", "--include", "*.json", *where).returncode == 0
    assert pair.run(*GET, "--check", *where).returncode == 11


def test_nothing_to_clean_makes_nothing(pair: Hubs, tmp_path: Path) -> None:
    ended = pair.run("clean", "--dir", str(tmp_path / "nowhere"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_nothing_is_dropped_while_somebody_is_at_work(more: list[str], pair: Hubs, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.staged("m").mkdir(parents=True)
    with at_work(tmp_path):
        ended = pair.run("clean", *more, "--dir", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (9, "")
    assert f"process {os.getpid()} on" in ended.stderr
    assert layout.staged("m").exists()


def test_a_watch_in_a_pipe_is_a_line_for_every_change_and_ends_with_the_run(pair: Hubs, tmp_path: Path) -> None:
    with at_work(tmp_path, "main") as lease:
        watcher = pair.start("status", "--watch", "--dir", str(tmp_path))
        assert watcher.stdout is not None
        assert f"process {os.getpid()} on" in watcher.stdout.readline()
        for done in (10, 60):
            lease.tell(done * MIB, 100 * MIB)
            line = watcher.stdout.readline()
            assert f"{done}% " in line
            assert "/104.9 MB" in line
        assert "MB/s eta " in line
    rest, err = watcher.communicate(timeout=30)
    assert (watcher.returncode, err) == (0, "")
    assert rest.startswith("folder: ")
    assert "at work" not in rest
    assert not {"\r", "\x1b"} & set(rest + line)


def test_a_watch_on_a_terminal_stays_in_its_place(pair: Hubs, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "acestep_fetch", "status", "--watch", "--dir", str(tmp_path)]
    with at_work(tmp_path, "main") as lease:
        lease.tell(25 * MIB, 100 * MIB)
        environment = pair.environment(TERM="xterm-256color", COLUMNS="100", LINES="30")
        watcher = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
        os.close(theirs)
        seen = b""
        while b"25 %" not in seen:
            seen += os.read(ours, 4096)
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # Linux's way to say that nobody has the other end any more
        pass
    os.close(ours)
    assert watcher.wait(timeout=30) == 0
    assert b"is at work on main for" in seen
    assert b"\x1b[" in seen
    assert b"nothing was fetched into it yet" in seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wait"], "required: MODEL"),
        (["wait", "main", "--timeout", "soon"], "--timeout: 'soon' is not a number of seconds"),
        (["wait", "main", "--timeout", "-1"], "0 or more"),
        (["wait", "main", "--timeout", "nan"], "0 or more"),
        (["wait", "acestep-v15-bse"], "did you mean acestep-v15-base?"),
        (["status", "main"], "unrecognized arguments"),
    ],
)
def test_what_is_wrong_is_a_usage_error(arguments: list[str], said: str, pair: Hubs, tmp_path: Path) -> None:
    ended = pair.run(*arguments, ACESTEP_CHECKPOINTS_DIR=str(tmp_path))
    assert ended.returncode == 2
    assert said in ended.stderr


def test_who_waits_can_be_stopped(pair: Hubs, tmp_path: Path) -> None:
    waiter = pair.start("wait", "main", "--dir", str(tmp_path))
    assert waiter.stderr is not None
    assert "waiting for main" in waiter.stderr.readline()
    waiter.send_signal(signal.SIGINT)
    out, err = waiter.communicate(timeout=30)
    assert (waiter.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("command", ["list", "status", "verify", "sums", "clean", "repair", "wait main", "plan"])
def test_a_file_in_the_folders_place_is_an_error_of_the_disk(command: str, run: Run, here: Path) -> None:
    (here / "models").write_text("not a folder")
    ended = run(*command.split(), "--dir", "models")
    assert ended.code == 8
    assert f"{here / 'models'} is a file, not a folder\n  → choose the checkpoints folder with --dir\n" in ended.err


@pytest.mark.parametrize("command", ["plan", "config show --origin", "doctor --offline", "list"])
def test_a_terminal_of_80_columns_is_not_overrun(command: str, pair: Hubs, tmp_path: Path) -> None:
    """Words that are longer than a line, such as paths, are all that may be."""
    more = ("--skip-main", "--model", REPO) if command == "plan" else ()
    where = () if command.startswith("config") else ("--dir", str(tmp_path / "out"))
    wide, narrow = (_on_a_terminal(pair, size, *command.split(), *more, *where) for size in (2000, 80))
    over = [line for line in narrow if len(line) > 80 and max(map(len, line.split())) < 50]
    assert not over
    if command.startswith(("config", "doctor")):  # nothing is lost, and no word is torn
        assert " ".join(narrow).split() == " ".join(wide).split()


def _on_a_terminal(pair: Hubs, width: int, *arguments: str) -> list[str]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "acestep_fetch", *arguments],
        env=pair.environment(COLUMNS=str(width)),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    out = b""
    with suppress(OSError):  # the other end is closed
        while block := os.read(ours, 1 << 16):
            out += block
    os.close(ours)
    process.wait(60)
    return out.decode().replace("\r\n", "\n").splitlines()
