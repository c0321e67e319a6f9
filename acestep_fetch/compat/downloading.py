"""A run behind the drop-in's functions, and what it answers: ``(ok, message)``, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec

from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.compat import code_sync, presence
from acestep_fetch.core.errors import (
    AccessError,
    FetchError,
    IncompleteError,
    NetworkError,
    NotFoundError,
    UsageError,
)
from acestep_fetch.options import Options, parse_source

if TYPE_CHECKING:
    from logging import Logger

    from acestep_fetch.core.events import ModelFailed
    from acestep_fetch.engine.report import Report

P = ParamSpec("P")
Answer = tuple[bool, str]

_SILENCE: Final = (NetworkError, NotFoundError, AccessError, IncompleteError)  # the last where HF_HUB_OFFLINE is set


def answering(call: Callable[P, Answer]) -> Callable[P, Answer]:
    """Turns what is raised into an answer."""

    @wraps(call)
    def answered(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return call(*args, **kwargs)
        except FetchError as error:
            return False, advice(error)
        except Exception as error:  # the contract: the application shows a text, whatever happens
            _logger().exception("%s failed", call.__name__)
            return False, advice(
                FetchError(f"internal error: {type(error).__name__}: {error}", hint="report it, please")
            )

    return answered


def options_for(
    models: Sequence[str], root: Path, token: str | None, prefer_source: str | None, *, force: bool
) -> Options:
    """What was given, before the environment, before the defaults. Raises `UsageError`."""
    options = Options.from_environment(
        directory=root.absolute(),
        models=tuple(models),
        skip_main=bool(models) and MAIN not in models,
        force=bool(force),
        token=token or None,
    )
    if not prefer_source:
        return options
    try:
        return replace(options, prefer=parse_source(prefer_source))
    except UsageError as error:  # a wish, and no reason to have no models
        _logger().warning("%s; choosing by what answers", error)
        return replace(options, prefer=None)


def download(name: str, options: Options) -> Answer:
    """Makes ready what `options` ask for; `name` is what they call it. A model that no hub would speak of passes
    unverified if it looks whole."""
    root = options.directory
    assert root is not None, "options_for has named it"
    report, _ = run(options)
    if report.exit_code == 0:
        return True, _success(name, root, report)
    if _knows_nothing(report) and not options.force and presence.looks_whole(name, root):
        return True, f"{name} is in {root}, but could not be verified: {ended(report)}"
    return False, f"{name}: {ended(report)}"


def _knows_nothing(report: Report) -> bool:
    """Whether no hub could be asked, or would say, what the model should be. With a plan, it is known to differ."""
    return not report.files and isinstance(report.error, _SILENCE)


def run(options: Options) -> tuple[Report, list[ModelFailed]]:
    """The run, and after it ACE-Step's own code in what was fetched. Raises as `running.make_ready` does."""
    from acestep_fetch.compat.running import make_ready

    report, failures = make_ready(options)
    if report.bytes_fetched and options.directory:
        _sync_after(report, options.directory)
    return report, failures


def _sync_after(report: Report, root: Path) -> None:
    """As ACE-Step does after each download. What fails here fails again when the application does it by itself."""
    for folder in report.folders:
        try:
            code_sync.synchronise(Path(folder).name, root)
        except OSError as error:
            _logger().warning("the code in %s was not updated: %s", folder, error)


def _success(name: str, root: Path, report: Report) -> str:
    from acestep_fetch.display.units import size

    fetched, reused = size(report.bytes_fetched), size(report.bytes_reused)
    return f"{name} is ready in {root}: {fetched} fetched, {reused} already there, every file verified"


def ended(report: Report) -> str:
    return advice(report.error) if report.error else f"the download ended with exit code {report.exit_code}"


def advice(error: FetchError | ModelFailed) -> str:
    """What happened, what was tried, what to do; one line."""
    said = "; ".join([error.message, *(f"tried: {attempt}" for attempt in error.attempts)])
    return f"{said}. What to do: {error.hint}" if error.hint else said


def _logger() -> Logger:
    import logging  # half as slow as all of the rest, and seldom needed

    return logging.getLogger(__name__)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    return f"Unknown {kind}: '{name}'. Available: {', '.join(known)}"
