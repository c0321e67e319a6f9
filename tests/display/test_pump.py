"""The promise to the event loop, on real pipes and a real terminal: nobody waits, nothing raises, the process ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from acestep_fetch.core import events as ev
from acestep_fetch.display import open_display
from acestep_fetch.display.display import Mode
from acestep_fetch.display.pump import Pump

GB = 10**9


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115
    yield reader, stream
    for close in (stream.close, lambda: os.close(reader)):
        with contextlib.suppress(OSError):  # a test closed it
            close()


def fill(stream: TextIO) -> None:
    fd = stream.fileno()
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(fd, True)


def busy_run(count: int = 3000) -> Iterator[ev.Event]:
    yield ev.RunStarted("1", "/w", ("m",))
    yield ev.PlanMade(("m",), count, count, 0, 0, count, 10**9, {})
    for index in range(count):
        yield ev.FileStarted(f"a/{index}", 1, 0)
        yield ev.BytesReceived(f"a/{index}", "huggingface", 1)
        yield ev.Note("warning", f"note {index}")
    yield ev.RunFinished(0, {"m": "ready"}, count, 0, count, 0, {"huggingface": count}, 1.0)


def drain(fd: int, into: list[bytes], *, pause: float = 0.0, chunk: int = 65536) -> None:
    while True:
        try:
            data = os.read(fd, chunk)
        except OSError:  # a terminal whose other side closed
            return
        if not data:
            return
        into.append(data)
        time.sleep(pause)


@pytest.mark.parametrize("mode", ["plain", "json"])
def test_a_full_pipe_costs_the_loop_nothing_and_the_end_a_second(mode: Mode, pipe: tuple[int, TextIO]) -> None:
    fill(pipe[1])
    display = open_display(mode, stderr=pipe[1], stdout=pipe[1])
    assert isinstance(display, Pump)
    display.patience = 0.3
    with display:
        time.sleep(0.2)  # the thread is stuck by now
        worst = 0.0
        for event in busy_run():
            start = time.perf_counter()
            display(event)
            worst = max(worst, time.perf_counter() - start)
        closing = time.monotonic()
    assert worst < 2.0  # a write that waits would take for ever
    assert time.monotonic() - closing < display.patience + 0.5
    assert display.broken is None


@pytest.mark.parametrize("mode", ["plain", "json"])
def test_a_reader_that_left_is_nobodys_trouble(mode: Mode, pipe: tuple[int, TextIO]) -> None:
    os.close(pipe[0])
    start = time.monotonic()
    with open_display(mode, stderr=pipe[1], stdout=pipe[1]) as display:
        assert isinstance(display, Pump)
        display.patience = display._painter.grace = 9.0
        for event in busy_run(300):
            display(event)
    assert time.monotonic() - start < 3.0
    assert display.broken is None


def test_a_reader_that_leaves_while_we_wait_for_it_is_noticed(pipe: tuple[int, TextIO]) -> None:
    fill(pipe[1])
    with open_display("json", stdout=pipe[1]) as display:
        assert isinstance(display, Pump)
        display.patience = 9.0
        for event in busy_run(300):
            display(event)
        time.sleep(0.2)
        os.close(pipe[0])
        start = time.monotonic()
    assert time.monotonic() - start < 3.0


def test_a_slow_reader_gets_every_json_line(pipe: tuple[int, TextIO]) -> None:
    got: list[bytes] = []
    reader = threading.Thread(target=drain, args=(pipe[0], got), kwargs={"pause": 0.01, "chunk": 8192})
    with open_display("json", stdout=pipe[1]) as display:
        for event in busy_run(1000):
            display(event)
        reader.start()
    pipe[1].close()
    reader.join(5)
    lines = [json.loads(line) for line in b"".join(got).splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["text"] for line in lines if line["event"] == "note"] == [f"note {n}" for n in range(1000)]
    assert lines[-1]["event"] == "summary"


def test_progress_is_dropped_while_nobody_reads(pipe: tuple[int, TextIO]) -> None:
    fill(pipe[1])
    got: list[bytes] = []
    with open_display("json", stdout=pipe[1]) as display:
        display(ev.PlanMade(("m",), 1, 10**6, 0, 0, 10**6, 10**9, {}))
        for _ in range(8):
            display(ev.BytesReceived("a/x", "huggingface", 1))
            time.sleep(0.1)
        reader = threading.Thread(target=drain, args=(pipe[0], got))
        reader.start()
        display(ev.RunFinished(0, {}, 1, 0, 1, 0, {}, 1.0))
    pipe[1].close()
    reader.join(5)
    lines = [json.loads(line) for line in b"".join(got).lstrip(b"x").splitlines()]
    assert [line["event"] for line in lines] == ["plan", "progress", "progress", "summary"]


_CHILD = """
import os, sys, time
from acestep_fetch.core import events as ev
from acestep_fetch.display import open_display
with open_display(sys.argv[1]) as display:
    for index in range(5000):
        display(ev.Note("warning", "x" * 50))
    time.sleep(0.1)
os.write(int(sys.argv[2]), b"closed")
sys.exit(7)
"""


def test_the_process_ends_although_nobody_reads() -> None:
    reader, writer = os.pipe()
    said, say = os.pipe()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _CHILD, mode, str(say)], stdout=writer, stderr=writer, pass_fds=(say,)
                )
            )
            for mode in ("plain", "json")
        ]
        for child in children:
            stack.callback(child.kill)
        os.close(writer)
        os.close(say)
        assert [child.wait(8) for child in children] == [7, 7]
        assert os.read(said, 100) == b"closedclosed"
        assert time.monotonic() - start < 4
    os.close(reader)
    os.close(said)


@pytest.mark.parametrize("mode", ["auto", "bar", "plain"])
def test_a_pipe_never_sees_cr_or_escape(mode: Mode, pipe: tuple[int, TextIO], run: list[ev.Event]) -> None:
    with open_display(mode, stderr=pipe[1], environ={"TERM": "xterm-256color", "FORCE_COLOR": "1"}) as display:
        for event in run:
            display(event)
    pipe[1].close()
    data = os.read(pipe[0], 65536)
    assert "main ready in 2 min 05 s" in data.decode()
    assert not {0x0D, 0x1B} & set(data)


def test_no_display_says_nothing(capfd: pytest.CaptureFixture[str], run: list[ev.Event]) -> None:
    with open_display("none") as display:
        for event in run:
            display(event)
    assert capfd.readouterr() == ("", "")


def test_a_missing_or_closed_stream_is_no_trouble(run: list[ev.Event], pipe: tuple[int, TextIO]) -> None:
    pipe[1].close()
    with open_display("auto", stderr=pipe[1]) as display:
        for event in run:
            display(event)
    assert isinstance(display, Pump)
    assert display.broken is None


def on_terminal(run: list[ev.Event], columns: int, environ: dict[str, str], encoding: str = "utf-8") -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    got: list[bytes] = []
    reader = threading.Thread(target=drain, args=(ours, got))
    reader.start()
    with (
        open(theirs, "w", encoding=encoding) as stream,
        open_display("auto", stderr=stream, environ=environ) as display,
    ):
        for event in run:
            display(event)
            time.sleep(0.15 if isinstance(event, ev.BytesReceived) else 0)
    reader.join(5)
    os.close(ours)
    assert isinstance(display, Pump)
    assert display.broken is None
    return b"".join(got).decode(encoding)


def screen(raw: str) -> list[str]:
    """What a terminal shows after `raw`: as much of an emulator as the display needs."""
    rows, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", raw):
        if token == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif token == "\r":
            column = 0
        elif token[0] != "\x1b":
            rows[row] = rows[row][:column].ljust(column) + token + rows[row][column + 1 :]
            column += 1
        elif token[-1] == "A":
            row -= int(token[2:-1] or 1)
        elif token[-1] == "K":
            rows[row] = ""
        else:
            assert token[-1] in "mhl", token
    return [shown for line in rows if (shown := line.rstrip())]


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_is_drawn_on_and_left_clean(columns: int, run: list[ev.Event]) -> None:
    raw = on_terminal(run, columns, {"TERM": "xterm-256color"})
    assert "━" in raw
    assert raw.count("\x1b[?25l") == raw.count("\x1b[?25h") == 1
    shown = screen(raw)
    assert not [row for row in shown if "━" in row or "─" in row]
    assert " ".join(map(str.strip, shown)).endswith("GB reused · Hugging Face 67 %, ModelScope 33 %")
    assert shown[0].startswith("Sources: Hugging Face 38 ms")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw).replace("\r", "\n").split("\n")
    assert max(map(len, drawn)) <= columns


def test_no_color_means_no_colour(run: list[ev.Event]) -> None:
    raw = on_terminal(run, 80, {"TERM": "xterm-256color", "NO_COLOR": "1"})
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", raw) for code in found.split(";")}
    assert codes <= {"", "0", "1", "2"}
    assert "━" in raw


def test_a_terminal_without_utf8_gets_ascii(run: list[ev.Event]) -> None:
    raw = on_terminal(run, 80, {"TERM": "xterm"}, "latin-1")
    assert raw.isascii()
    assert "####" in raw


def test_a_dumb_terminal_gets_plain_lines(run: list[ev.Event]) -> None:
    assert "\x1b" not in on_terminal(run[:5], 80, {"TERM": "dumb"})


def test_a_stopped_terminal_does_not_keep_us(run: list[ev.Event]) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        start = time.monotonic()
        with open_display("bar", stderr=stream, environ={"TERM": "xterm"}) as display:
            assert isinstance(display, Pump)
            display.patience = 0.3
            for event in busy_run(2000):
                display(event)
        assert time.monotonic() - start < 2
    os.close(ours)
