"""How a run ends: by itself, by an error, by a stop, or at once with its process; its last event is told every time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from acestep_fetch.core.errors import FetchError
from acestep_fetch.engine.components import ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.report import Ledger, Report, failure, finished, overall
from acestep_fetch.engine.session import Session
from acestep_fetch.options import Options


@dataclass(slots=True)
class Host:
    """The process around a run, where it has nothing else to do and may end with it.

    `leave` ends it at once, as a kill would, with an exit code. It is called, perhaps from another thread, where a run
    cannot end in order: the disk does not answer, or the event loop is blocked. `stop_code` is the exit code of a run
    that is cancelled.
    """

    leave: Callable[[int], None]
    stop_code: int = 130


class Ending:
    """Around a run, as a context manager: `report` is there when the block is left.

    A `FetchError` ends there, being in the report; everything else passes. `session` is set in the block as soon as
    there is one.
    """

    report: Report

    def __init__(self, context: Context, ledger: Ledger, host: Host | None, began: float) -> None:
        self.session: Session | None = None
        self._context, self._ledger, self._host, self._began = context, ledger, host, began
        self._error: FetchError | None = None
        self._stopped: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(exc, FetchError):
            self._error = exc
        elif isinstance(exc, asyncio.CancelledError):
            self._stopped = self._host.stop_code if self._host else 130
        elif isinstance(exc, Exception):  # a bug of ours: the last event must not call it a success
            text = f"internal error: {type(exc).__name__}: {exc}"
            self._error = FetchError(text, hint="please report this; -v shows more")
        self.report = self._told()
        return isinstance(exc, FetchError)

    def leave(self, because: FetchError) -> None:
        """The last resort: ends the process with that error, at once; without a host it is only logged."""
        if self._host:
            self.hurry(because)
        else:
            logging.getLogger(__name__).critical("%s", because.message)

    def hurry(self, because: FetchError | None) -> None:
        """Ends a process that was told to stop, and cannot in order; `because` is the reason for the stop, where that
        was an error. Without a host, who told it to goes on waiting."""
        if self._host:
            self._error, self._stopped = because, None if because else self._host.stop_code
            self._host.leave(self._told().exit_code)

    def _told(self) -> Report:
        report = self._made(time.monotonic() - self._began)
        if report.error and self._stopped is None:
            self._context.emit(failure(report.error, report.models, self._ledger))
        self._context.emit(finished(report, self._ledger))
        return report

    def _made(self, seconds: float) -> Report:
        works = self.session.works if self.session else []
        error, stopped = self._error, self._stopped
        if error is None:
            became = sum(work.ready and not work.found for work in works)
            error = overall([work.error for work in works if work.error], became)
        states = {work.model.name: _state(work, error, stopped, self._context.options) for work in works}
        if self.session:
            states |= {model.name: "unavailable" for model in self.session.unavailable}
        return Report(
            exit_code=stopped if stopped is not None else error.exit_code if error else 0,
            models=states,
            folders=tuple(folder for work in works for folder in work.folders),
            bytes_fetched=self._ledger.bytes_fetched,
            bytes_reused=self._ledger.bytes_reused,
            by_source=dict(self._ledger.by_source),
            seconds=seconds,
            files=self.session.plan if self.session else (),
            error=error,
            order=self._ledger.order,
            why=self._ledger.why,
        )


def _state(work: ModelWork, error: FetchError | None, stopped: int | None, options: Options) -> str:
    if work.ready:
        return "ready"
    if stopped is not None:
        return "stopped"
    if work.error or error:
        return "failed"
    return "partial" if options.adopt_only else "planned"
