"""What a command that runs tells, from its first moment to its last, whatever becomes of it.

However many runs a command consists of, and however it ends (done, failed, a wrong flag, a signal): a JSON stream has
one ``start`` and one ``summary``, which is its last line, and ``--summary-file`` is written.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from acestep_fetch import __version__
from acestep_fetch.cli.arguments import Showing, glimpse
from acestep_fetch.cli.results import answered
from acestep_fetch.cli.stops import Stops
from acestep_fetch.core.errors import FetchError
from acestep_fetch.core.events import (
    Event,
    FileFailed,
    ModelFailed,
    ModelReady,
    Note,
    RunFailed,
    RunFinished,
    RunStarted,
)
from acestep_fetch.engine.report import MOST_CODES, average, together

if TYPE_CHECKING:
    from acestep_fetch.display import Display, Mode

_PATIENCE: Final = 5.0  # seconds for the disk to take the summary


class Outlet:
    """A listener for everything that `command` tells, and a context manager around all that it does.

    JSON lines are written as soon as something is told. People's output begins with `show`; what is told before it is
    not shown.
    """

    def __init__(self, command: str, arguments: Sequence[str], *, has_stream: bool = True) -> None:
        """`has_stream`: see `glimpse`."""
        self._command = command
        self.is_json, self._file = glimpse(arguments, has_stream=has_stream)
        self._display: Display | None = None
        self._began = time.monotonic()
        self._is_run, self._started, self._closed = True, False, False
        self._stops = Stops()
        self._ends = list[RunFinished]()
        self._unseen = 0  # of these, that ended before there was a display
        self._failures = set[str]()  # that were told
        self._outcome = list[Event]()  # what stderr is told of a JSON stream

    def __enter__(self) -> Self:
        self._stops.__enter__()
        if self.is_json:
            self.show("json")
        return self

    def show(self, mode: Mode, showing: Showing | None = None) -> None:
        """Opens the display. JSON's is open already where the arguments asked for it, and stays."""
        if self._display is None:
            self.is_json = mode == "json"
            self._display = (showing or Showing()).open(mode).__enter__()

    @contextmanager
    def showing(self, mode: Mode, showing: Showing) -> Iterator[Self]:
        """Around all runs of the command: what comes behind is printed behind the last words."""
        self.show(mode, showing)
        yield self
        self.close()

    def write_summary_to(self, file: Path | None) -> None:
        """Where the summary goes, once all arguments are understood."""
        self._file = file

    def only_looks(self) -> None:
        """The command is no run after all: it tells nothing."""
        self._is_run = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self._ends.append(event)
            self._unseen += not self._display
            return
        if isinstance(event, RunFailed):
            self._failures.add(event.message)
        if self._display and not (self._started and isinstance(event, RunStarted)):
            if isinstance(event, RunStarted):
                self._started, event = True, replace(event, command=self._command)
            if isinstance(event, RunStarted | ModelReady | ModelFailed | FileFailed):
                self._outcome.append(event)
            self._display(event)

    @property
    def refused(self) -> str:
        """Why the output could not be written (`display.Display`)."""
        return self._display.refused if self._display else ""

    @property
    def code(self) -> int:
        """The exit code of the runs so far."""
        return together(self._ends).exit_code if self._ends else 0

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.too_late = True
        try:
            if self._is_run and not (isinstance(exc, SystemExit) and not exc.code):  # --help
                self._finish(self._ended_by(exc), said=isinstance(exc, FetchError))
        finally:
            self._stops.__exit__()

    def close(self) -> None:
        """The last words: the runs are over."""
        self._stops.too_late = True
        self._finish(self._summary(0), said=False)

    # -- the end --------------------------------------------------------------------------------------------------

    def _ended_by(self, exc: BaseException | None) -> RunFinished:
        match exc:
            case FetchError():
                return self._broken_off(exc)
            case None:
                return self._summary(0)
            case KeyboardInterrupt():
                return self._summary(130)
            case SystemExit(code=int(code)):
                return self._summary(code)
            case _ if self._ends:
                return self._summary(1)
        return self._broken_off(FetchError(f"internal error: {type(exc).__name__}: {exc}", hint="please report this"))

    def _broken_off(self, error: FetchError) -> RunFinished:
        if self.is_json and error.message not in self._failures:
            self._begin()
            facts = (error.name, error.exit_code, error.retryable, error.message, error.hint, error.attempts)
            self(RunFailed(*facts, model=None, path=None))
        return replace(
            self._summary(error.exit_code),
            error=error.message,
            hint=error.hint,
            attempts=error.attempts,
            retryable=error.retryable,
        )

    def _summary(self, code: int) -> RunFinished:
        """What the runs came to, in the time of the whole command; 0 leaves their own exit code."""
        took = time.monotonic() - self._began
        if not self._ends:
            return RunFinished(code, {}, 0, 0, 0, 0, {}, took, retryable=code > MOST_CODES)
        told = together(self._ends)
        told = replace(told, seconds=took, avg_bps=average(told.bytes_fetched, took))
        return told if code in (0, told.exit_code) else replace(told, exit_code=code, retryable=code > MOST_CODES)

    def _finish(self, end: RunFinished, *, said: bool) -> None:
        """The last words, once. `said` means that what ended the command is told on stderr by others."""
        if self._closed:
            return
        self._closed = True
        unwritten = self._write(end) if self._file else ""
        if self.is_json:
            self._begin()
            if unwritten:
                self(Note("warning", unwritten))
        if self._display:
            if self.is_json:
                answered()
            if self.is_json or not said:
                self._display(end if self.is_json else self._seen(end))
            self._display.close()
        if self.is_json and not said:
            _tell_people([*self._outcome, end])
        if unwritten and sys.stderr:  # None under pythonw
            print(f"acestep-fetch: warning: {unwritten}", file=sys.stderr)
        if self.is_json and self.refused and sys.stderr:
            print(f"acestep-fetch: warning: the output was not written: {self.refused}", file=sys.stderr)

    def _seen(self, end: RunFinished) -> RunFinished:
        """`end` without the runs that had ended before there was a display: people were told of them otherwise."""
        earlier = self._ends[: self._unseen]
        return replace(
            end,
            models={name: state for name, state in end.models.items() if all(name not in e.models for e in earlier)},
            files_verified=end.files_verified - sum(each.files_verified for each in earlier),
            files_reused=end.files_reused - sum(each.files_reused for each in earlier),
            bytes_reused=end.bytes_reused - sum(each.bytes_reused for each in earlier),
        )

    def _begin(self) -> None:
        """A stream has a start, however soon it ends."""
        self(RunStarted(__version__, "", (), self._command))

    def _write(self, end: RunFinished) -> str:
        """Writes the summary file. Returns why it cannot be had; a disk that does not answer is not waited for."""
        from acestep_fetch.display.summary import summary_text
        from acestep_fetch.storage.handing import hand_over

        assert self._file
        file, ended = self._file, list[str]()  # with what; put in once, because it may come while we look
        data = summary_text(end, self._command, time.time()).encode("ascii")

        def write() -> None:
            try:
                hand_over(file, data)
                ended.append("")
            except OSError as exc:
                ended.append(exc.strerror or str(exc))

        thread = threading.Thread(target=write, name="summary", daemon=True)
        thread.start()
        thread.join(_PATIENCE)
        why = ended[0] if ended else "the disk does not answer"
        return why and f"the summary was not written to {file}: {why}"


def _tell_people(outcome: Sequence[Event]) -> None:
    """What went wrong in the end, on stderr."""
    from acestep_fetch.display.quiet import last_words

    if sys.stderr and (text := last_words(outcome, sys.stderr.encoding)):
        sys.stderr.write(text)
