"""The plain functions of the Python API.

They may be called from anywhere, also where an event loop is running (it is held up, as by any call that blocks; await
`AsyncClient` there). They set no signal handler and keep no state: what they know is in the checkpoints folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:  # an import costs nothing; the first call imports what it needs
    from acestep_fetch.client.running import Cancel
    from acestep_fetch.client.settings import Folder, Models, Settings
    from acestep_fetch.core.events import Listener
    from acestep_fetch.core.lock import Lock
    from acestep_fetch.engine.plan import Plan
    from acestep_fetch.engine.report import Report
    from acestep_fetch.engine.standing import ModelState, Status
    from acestep_fetch.engine.upkeep import Verification
    from acestep_fetch.options import Options


def fetch(
    *models: Models,
    options: Options | None = None,
    on_event: Listener | None = None,
    cancel: Cancel | None = None,
    check: bool = True,
    **settings: Unpack[Settings],
) -> Report:
    """Makes `models` ready, and nothing else; none named means main. Returns when every byte is in place and verified.

    `models` are names of the catalogue, short forms of them ("0.6B") or OWNER/NAME, one by one or in lists. `settings`
    win over `options`, and both over the environment; see `Settings`. `on_event` hears of every event in the thread
    that called: it may take its time, and what it raises is logged. `cancel` is a `threading.Event` or the like: once
    it is set, what has arrived is kept, and `StoppedError` is raised; so is KeyboardInterrupt, after the same.

    Raises the `FetchError` that the run ended with, `PartialError` where some of the models are ready. With
    `check=False` that error is `Report.error`. `UsageError` (a wrong name or setting) and `StoppedError` are always
    raised.
    """
    report = _report(_options(models, options, settings), on_event, cancel)
    if check:
        report.raise_for_error()
    return report


def ensure(
    *models: Models,
    options: Options | None = None,
    on_event: Listener | None = None,
    cancel: Cancel | None = None,
    **settings: Unpack[Settings],
) -> tuple[Path, ...]:
    """The folders of `models`, which are fetched first if they are not ready. Arguments and errors as of `fetch`.

    Of ready models it costs a few stat calls and opens no socket. Of several processes that call it at once one
    downloads, and all return when the models are ready. A model has one folder; main has several.
    """
    report = fetch(*models, options=options, on_event=on_event, cancel=cancel, **settings)
    return tuple(map(Path, report.folders))


def plan(
    *models: Models,
    options: Options | None = None,
    on_event: Listener | None = None,
    cancel: Cancel | None = None,
    **settings: Unpack[Settings],
) -> Plan:
    """What `fetch` would do with the same arguments: every file, the bytes, the disk. Asks the hubs; changes nothing.

    A plan that does not fit on the disk is no error: `Plan.fits` says so. Raises what else `fetch` does.
    """
    from dataclasses import replace

    from acestep_fetch import api

    asked = replace(_options(models, options, settings), dry_run=True)
    return api.plan_of(_report(asked, on_event, cancel), asked)


def lock(
    *models: Models,
    path: Folder = "acestep-fetch.lock",
    update: bool = False,
    options: Options | None = None,
    on_event: Listener | None = None,
    cancel: Cancel | None = None,
    **settings: Unpack[Settings],
) -> Lock:
    """Writes down at `path` which bytes `models` are; none named means those of the lock that is there, else main.

    Asks the hubs for their lists and fetches nothing; with `offline` it takes what was received here. Raises
    `LockedError` where the lock that is there says something else, unless it is to be `update`d, and the `FetchError`
    of a model that cannot be locked.
    """
    from acestep_fetch import api
    from acestep_fetch.client.running import run_and_wait
    from acestep_fetch.core.lock import LOCK_NAME

    asked, at = _options(models, options, settings), Path(path or LOCK_NAME)
    if asked.offline:  # without an event loop, which has a socket of its own
        return api.lock(at, asked, on_event, update=update)
    return run_and_wait(lambda listener: api.lock_async(at, asked, listener, update=update), on_event, cancel)


def verify(
    *models: Models,
    dir: Folder | None = None,  # noqa: A002
    fast: bool = False,
    cancel: Cancel | None = None,
) -> tuple[Verification, ...]:
    """Compares every file of finished `models` (all, if none is named) with the digest that it had. Opens no socket.

    Reads every byte, some seconds for each 10 GB from a fast disk; `fast` compares sizes and times only. Whatever is
    found is in `Verification.faults` and never raised. Raises `IncompleteError` for a model that was never finished
    there, and `StoppedError` once `cancel` is set.
    """
    from acestep_fetch.client.settings import layout_of, names_of
    from acestep_fetch.engine import upkeep

    layout = layout_of(dir)
    is_cancelled = cancel.is_set if cancel else lambda: False
    receipts = upkeep.recorded(layout, names_of(models))
    return tuple(upkeep.verify(layout, receipts, fast=fast, is_cancelled=is_cancelled))


def models(dir: Folder | None = None) -> tuple[ModelState, ...]:  # noqa: A002
    """Every model of the catalogue, and others that are here: what each is for, and where it stands. Sizes are bytes.

    From receipts and a few stat calls; opens no socket.
    """
    from acestep_fetch.client.settings import layout_of
    from acestep_fetch.engine import standing

    return standing.models(layout_of(dir))


def status(dir: Folder | None = None) -> Status:  # noqa: A002
    """Who downloads into the folder now and how far that is, what was asked for in it, and what is left over.

    From what runs leave on the disk; opens no socket, and may be asked while another process downloads.
    """
    from acestep_fetch.client.settings import layout_of
    from acestep_fetch.engine import standing

    return standing.status(layout_of(dir))


def _options(models: tuple[Models, ...], options: Options | None, settings: Settings) -> Options:
    from acestep_fetch.client.settings import options_for

    return options_for(models, options, settings)


def _report(options: Options, on_event: Listener | None, cancel: Cancel | None) -> Report:
    from acestep_fetch import api

    if report := api.up_to_date(options, on_event):
        return report
    from acestep_fetch.client.running import run_and_wait

    return run_and_wait(lambda listener: api.fetch_async(options, listener), on_event, cancel)
