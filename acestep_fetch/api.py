"""The composition root: wires catalogue, hubs, transport and engine together, and the public Python API.

HTTP libraries and hub SDKs are imported only when a run has something to fetch.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from acestep_fetch import __version__
from acestep_fetch.catalogue import Model, load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import FetchError, UsageError
from acestep_fetch.core.events import Event, Listener, Note, RunStarted
from acestep_fetch.engine.readiness import look
from acestep_fetch.engine.report import Ledger, Report, failure, finished, overall
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout, choose_folder
from acestep_fetch.storage.receipts import Receipt

if TYPE_CHECKING:
    from acestep_fetch.core.interfaces import Transport
    from acestep_fetch.engine.components import ModelWork
    from acestep_fetch.engine.opening import Network
    from acestep_fetch.engine.plan import Plan
    from acestep_fetch.engine.session import Session

__all__ = ["Report", "fetch", "fetch_async", "plan", "plan_of", "up_to_date", "wanted_models"]


def fetch(options: Options | None = None, listener: Listener | None = None) -> Report:
    """`fetch_async` for code without an event loop (inside one, await that instead)."""
    options = options or Options.from_environment()
    if report := up_to_date(options, listener):
        return report
    from acestep_fetch.transport.lookups import run_async

    return run_async(fetch_async(options, listener))


def up_to_date(options: Options, listener: Listener | None = None) -> Report | None:
    """The report of a run with nothing to do; None (and nothing told) where there is something to do.

    Opens no socket, not even an event loop's. Raises `UsageError` for an unknown name.
    """
    began, ledger = time.monotonic(), Ledger()
    folder, note = choose_folder(options.directory)
    models = wanted_models(options)
    found = {model.name: ready for model in models if (ready := look(model, Layout(folder), options))}
    missing = [model for model in models if model.name not in found]
    if not found or not all(options.all_models and model.announced for model in missing):
        return None  # what is only announced is asked for again when there is something else to ask
    tell = _teller(ledger, listener)
    tell(RunStarted(__version__, str(folder), tuple(found)))
    for event in [*([Note("info", note)] if note else []), *(e for ready in found.values() for e in ready.events)]:
        tell(event)
    report = Report(
        exit_code=0,
        models=dict.fromkeys(found, "ready"),
        folders=tuple(folder for ready in found.values() for folder in ready.folders),
        bytes_fetched=0,
        bytes_reused=ledger.bytes_reused,
        by_source={},
        seconds=time.monotonic() - began,
    )
    tell(finished(report, ledger))
    return report


def plan(options: Options | None = None, listener: Listener | None = None) -> Plan:
    """What `fetch` would do with the same options; asks the hubs, and changes nothing.

    Raises `FetchError` where no plan can be made. A plan that does not fit on the disk says so itself.
    """
    options = replace(options or Options.from_environment(), dry_run=True)
    return plan_of(fetch(options, listener), options)


def plan_of(report: Report, options: Options) -> Plan:
    """The plan of a dry run with `options`. Raises what that ended with, but for too small a disk."""
    from acestep_fetch.engine import plan as planned

    return planned.plan_of(report, Layout(choose_folder(options.directory)[0]))


@dataclass(slots=True)
class Host:
    """The process around a run, where it has nothing else to do and may end with it.

    `leave` ends it at once, as a kill would, with an exit code. It is called, perhaps from another thread, where a run
    cannot end in order: the disk does not answer, or the event loop is blocked. `stop_code` is the exit code of a run
    that is cancelled.
    """

    leave: Callable[[int], None]
    stop_code: int = 130


async def fetch_async(
    options: Options | None = None,
    listener: Listener | None = None,
    *,
    host: Host | None = None,
    record: Receipt | None = None,
    lists: Sequence[Receipt] = (),
) -> Report:
    """Makes the models that `options` names ready, and reports.

    Nothing of what can go wrong with hubs, files or the disk is raised: it is in the report (`Report.error`,
    `Report.raise_for_error`). Cancelling is a clean stop: what has arrived is kept for the next run, and `RunFinished`
    is still told, with the exit code of a stop. A listener that raises is logged and otherwise ignored.

    `record` is what a model was when it was fetched: it is made that again, from wherever its bytes can still be had,
    whatever the hubs have by now. `options` name that one model then. `lists` say what models must hold (a lock does)
    where `options.adopt_only` is set: no hub is asked about these.

    A run that stands still without a reason ends with `StuckError`. Where the event loop itself is blocked, or the end
    stands still too, nothing can end it but a `host`; without one, that is logged.
    """
    import asyncio

    from acestep_fetch.engine.context import Context
    from acestep_fetch.engine.session import Session
    from acestep_fetch.engine.stopping import in_order
    from acestep_fetch.engine.watchdog import Watchdog
    from acestep_fetch.storage.threads import Disk

    options = options or Options.from_environment()
    folder, note = choose_folder(options.directory)
    ledger, began = Ledger(), time.monotonic()
    with Disk() as disk:
        context = Context(options, Layout(folder), disk, _teller(ledger, listener))
        session: Session | None = None
        error: FetchError | None = None
        stopped: int | None = None

        def tell_end() -> Report:
            report = _report(options, session, error, ledger, time.monotonic() - began, stopped)
            if report.error and stopped is None:
                context.emit(failure(report.error, report.models, ledger))
            context.emit(finished(report, ledger))
            return report

        def leave(because: FetchError | None) -> None:
            nonlocal error, stopped
            if host:
                error, stopped = because, None if because else host.stop_code
                host.leave(tell_end().exit_code)
            elif because:
                _log(because)

        def hurry() -> None:
            if host:
                leave(watchdog.error)

        watchdog = Watchdog(context, leave)
        try:
            models = wanted_models(options)
            names = tuple(model.name for model in models)
            context.emit(RunStarted(__version__, str(folder), names, "repair" if record else "get"))
            if note:
                context.emit(Note("info", note))
            session = Session(context, models, lambda: _connect(options), record, lists)
            async with watchdog:
                await in_order(session.run(), context, hurry)
        except FetchError as exc:
            error = exc
        except asyncio.CancelledError:
            stopped = host.stop_code if host else 130
            raise
        except Exception as exc:  # a bug of ours: the last event must not call it a success
            error = FetchError(f"internal error: {type(exc).__name__}: {exc}", hint="please report this; -v shows more")
            raise
        finally:
            report = tell_end()
    return report


def _log(error: FetchError) -> None:
    import logging

    logging.getLogger(__name__).critical("%s", error.message)


def _teller(ledger: Ledger, listener: Listener | None) -> Listener:
    """Adds up, and tells the listener. One that raises is logged; it never harms a download."""

    def tell(event: Event) -> None:
        ledger.listen(event)
        try:
            if listener:
                listener(event)
        except Exception:  # whatever a listener of somebody else's raises
            import logging

            logging.getLogger(__name__).exception("a listener failed on %s", event.name)

    return tell


def wanted_models(options: Options) -> Sequence[Model]:
    """What to make ready, main first as upstream does. Raises `UsageError` for an unknown name."""
    catalogue = load_catalogue()
    models = catalogue.models if options.all_models else catalogue.bring(options.models or (MAIN,))
    main = catalogue.find(MAIN)
    others = tuple(model for model in models if model != main)
    if options.skip_main and not others:
        raise UsageError(
            "nothing is left to fetch: the main model is skipped, and no other is named",
            hint="name another model (--model)",
        )
    return others if options.skip_main else (main, *others)


@asynccontextmanager
async def _connect(options: Options) -> AsyncIterator[Network]:
    import asyncio
    from contextlib import AsyncExitStack
    from importlib import import_module

    from acestep_fetch.engine.opening import Network
    from acestep_fetch.hubs import HuggingFace, ModelScope, select
    from acestep_fetch.transport.api import HttpxApi

    connect = options.connect_timeout
    async with AsyncExitStack() as stack:

        async def open_transport() -> Transport:
            streams = await asyncio.to_thread(import_module, "acestep_fetch.transport.streams")
            opened: Transport = await stack.enter_async_context(
                streams.Streams(connect_timeout=connect, trust=api.trust, proxies=api.proxies)
            )
            return opened

        api = await stack.enter_async_context(HttpxApi(connect_timeout=connect, ca_bundle=options.ca_bundle))
        hubs = (
            HuggingFace(api, options.huggingface_endpoint, options.token),
            ModelScope(api, options.modelscope_endpoint, options.modelscope_token),
        )
        yield Network(hubs, api, open_transport, select)


def _report(
    options: Options,
    session: Session | None,
    error: FetchError | None,
    ledger: Ledger,
    seconds: float,
    stopped: int | None,
) -> Report:
    works = session.works if session else []
    if error is None:
        error = overall([work.error for work in works if work.error], sum(work.ready for work in works))
    states = {work.model.name: _state(work, error, stopped, options) for work in works}
    if session:
        states |= {model.name: "unavailable" for model in session.unavailable}
    return Report(
        exit_code=stopped if stopped is not None else error.exit_code if error else 0,
        models=states,
        folders=tuple(folder for work in works for folder in work.folders),
        bytes_fetched=ledger.bytes_fetched,
        bytes_reused=ledger.bytes_reused,
        by_source=dict(ledger.by_source),
        seconds=seconds,
        files=session.plan if session else (),
        error=error,
        order=ledger.order,
        why=ledger.why,
    )


def _state(work: ModelWork, error: FetchError | None, stopped: int | None, options: Options) -> str:
    if work.ready:
        return "ready"
    if stopped is not None:
        return "stopped"
    if work.error or error:
        return "failed"
    return "partial" if options.adopt_only else "planned"
