"""The composition root: wires catalogue, hubs, transport and engine together. What people call is in `client/`.

HTTP libraries and hub SDKs are imported only when a run has something to fetch.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_fetch import __version__
from acestep_fetch.catalogue import Model, load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.bundle import BUNDLE_NAME, Needs
from acestep_fetch.core.errors import LockedError, UsageError
from acestep_fetch.core.events import Event, Listener, Note, RunStarted
from acestep_fetch.core.lock import LOCK_NAME, Lock
from acestep_fetch.engine.needs import find_needs
from acestep_fetch.engine.readiness import Ready, look, not_ready
from acestep_fetch.engine.received import lock_received, refuse_changes
from acestep_fetch.engine.recorded import Record, record_of, record_of_lock
from acestep_fetch.engine.report import Ledger, Report, failure, finished
from acestep_fetch.options import Options
from acestep_fetch.storage import platform
from acestep_fetch.storage.layout import Layout, choose_folder
from acestep_fetch.storage.lockfile import lock_before, read_lock, write_lock
from acestep_fetch.storage.receipts import Receipt

if TYPE_CHECKING:
    from acestep_fetch.core.interfaces import Transport
    from acestep_fetch.engine.ending import Host
    from acestep_fetch.engine.opening import Network
    from acestep_fetch.engine.plan import Plan

__all__ = ["Report", "fetch_async", "guarded", "lock", "lock_async", "needs", "plan_of", "up_to_date", "wanted_models"]


def up_to_date(options: Options, listener: Listener | None = None, *, checks: bool = False) -> Report | None:
    """The report of a run with nothing to do, or nothing that it may do (`Options.offline`, a lock without the model,
    or because it only `checks`); None (and nothing told) where there is something to do.

    Opens no socket, not even an event loop's. Raises `UsageError` for an unknown name and a lock that cannot be read.
    """
    began, ledger = time.monotonic(), Ledger()
    folder, note = choose_folder(options.directory)
    layout, models = Layout(folder), wanted_models(options)
    found, missing, error = dict[str, Ready](), models, None
    try:
        records = locked_records(options, models)
        found = {m.name: ready for m in models if (ready := look(m, layout, options, records.get(m.name)))}
        missing = [m for m in models if m.name not in found and not (options.all_models and m.announced)]
        if missing or not found:
            if not (options.offline or checks):
                return None  # what is only announced is asked for again when there is something else to ask
            error = not_ready(missing, layout, options, records)
    except LockedError as exc:
        error = exc
    tell = _teller(ledger, listener)
    tell(RunStarted(__version__, str(folder), tuple(m.name for m in models) if error else tuple(found)))
    for event in [*([Note("info", note)] if note else []), *(e for ready in found.values() for e in ready.events)]:
        tell(event)
    report = Report(
        exit_code=error.exit_code if error else 0,
        models={m.name: "ready" if m.name in found else "failed" for m in models if m in missing or m.name in found},
        folders=tuple(folder for ready in found.values() for folder in ready.folders),
        bytes_fetched=0,
        bytes_reused=ledger.bytes_reused,
        by_source={},
        seconds=time.monotonic() - began,
        error=error,
    )
    if error:
        tell(failure(error, report.models, ledger))
    tell(finished(report, ledger))
    return report


def plan_of(report: Report, options: Options) -> Plan:
    """The plan of a dry run with `options`. Raises what that ended with, but for too small a disk."""
    from acestep_fetch.engine import plan as planned

    return planned.plan_of(report, Layout(choose_folder(options.directory)[0]), options.min_free)


def lock(
    path: Path | None = None,
    options: Options | None = None,
    listener: Listener | None = None,
    *,
    update: bool = False,
) -> Lock:
    """Writes down which bytes the models are that `options` name (with nothing named: those of the lock at `path`, else
    main), and returns it. The hubs are asked for their lists; `Options.offline` takes what was received here.

    Raises `LockedError` where a lock at `path` says something else and is not to be `update`d, and the `FetchError` of
    a model that cannot be locked.
    """
    path, options = path or Path(LOCK_NAME), options or Options.from_environment()
    return written(path, *relocked(path, options, listener), update=update)


async def lock_async(
    path: Path | None = None,
    options: Options | None = None,
    listener: Listener | None = None,
    *,
    update: bool = False,
) -> Lock:
    """`lock` inside a running event loop."""
    path, options = path or Path(LOCK_NAME), options or Options.from_environment()
    found = _received(path, options) if options.offline else await _listed(path, options, listener)
    return written(path, *found, update=update)


def relocked(path: Path, options: Options, listener: Listener | None = None) -> tuple[Lock | None, Lock]:
    """The lock at `path` (None for none), and what `lock` would write there."""
    if options.offline:  # without an event loop, which has a socket of its own
        return _received(path, options)
    from acestep_fetch.transport.lookups import run_async

    return run_async(_listed(path, options, listener))


def written(path: Path, old: Lock | None, new: Lock, *, update: bool, shown: bool = False) -> Lock:
    """What is at `path` after `relocked` has said `old` and `new`, and `lock` is asked to `update` it or not. `shown`:
    what differs was told already."""
    if old is not None and not update:
        refuse_changes(path, old, new, shown=shown)
        return old  # a digest more of the same bytes is no reason to touch it
    if new != old:
        write_lock(path, new)
    return new


def _received(path: Path, options: Options) -> tuple[Lock | None, Lock]:
    old, models = _to_lock(path, options)
    new = lock_received(models, Layout(choose_folder(options.directory)[0]), options)
    return old, (old or Lock()).updated(new.models)


async def _listed(path: Path, options: Options, listener: Listener | None) -> tuple[Lock | None, Lock]:
    from acestep_fetch.engine.context import Context
    from acestep_fetch.engine.locking import lock_listed
    from acestep_fetch.engine.session import unwrapped
    from acestep_fetch.storage.threads import Disk

    old, models = _to_lock(path, options)
    with Disk() as disk:
        context = Context(options, Layout(choose_folder(options.directory)[0]), disk, _teller(Ledger(), listener))
        async with _connect(options) as network, unwrapped():
            new = await lock_listed(models, network, old or Lock(), context)
    return old, (old or Lock()).updated(new.models)


def _to_lock(path: Path, options: Options) -> tuple[Lock | None, Sequence[Model]]:
    """The lock that is there, and the models that are to be looked at."""
    old = lock_before(path)
    same = old is not None and not (options.models or options.all_models)
    return old, wanted_models(replace(options, lock=path if same else None))


def needs(options: Options, tell: Callable[[str], None] = lambda path: None) -> Needs:
    """What the models that `options` name lack to be ready here: by `Options.lock` to the byte. Opens no socket; reads
    the files that no receipt speaks for, and `tell`s which.

    Raises `UsageError`, `LockedError` for a model that the lock lacks, and what the disk refuses as `DiskError`.
    """
    models, layout = wanted_models(options), Layout(choose_folder(options.directory)[0])
    lock = read_lock(options.lock) if options.lock else None
    try:
        return find_needs(models, layout, options, lock, locked_records(options, models), tell)
    except OSError as exc:
        raise platform.explain(exc, exc.filename or layout.root) from exc


async def fetch_async(
    options: Options | None = None,
    listener: Listener | None = None,
    *,
    host: Host | None = None,
    record: Receipt | None = None,
    lists: Sequence[Receipt] = (),
    bundle: Path | None = None,
) -> Report:
    """Makes the models that `options` names ready, and reports.

    Nothing of what can go wrong with hubs, files or the disk is raised: it is in the report (`Report.error`,
    `Report.raise_for_error`). Cancelling is a clean stop: what has arrived is kept for the next run, and `RunFinished`
    is still told, with the exit code of a stop. A listener that raises is logged and otherwise ignored.

    `record` is what a model was when it was fetched: it is made that again, from wherever its bytes can still be had,
    whatever the hubs have by now. `options` name that one model then, and a lock of theirs is not looked at. `lists`
    say what models must hold (a lock does) where `options.adopt_only` is set: no hub is asked about these.

    `bundle` is a folder that `acestep_fetch.engine.packing` made: its models are made ready from it, and no hub is
    asked. What `options` say of models, locks and hubs is not looked at then.

    A run that stands still without a reason ends with `StuckError`. Where the event loop itself is blocked, or the end
    stands still too, nothing can end it but a `host`; without one, that is logged.
    """
    from acestep_fetch.engine.context import Context
    from acestep_fetch.engine.ending import Ending
    from acestep_fetch.engine.session import Session
    from acestep_fetch.engine.stopping import in_order
    from acestep_fetch.engine.watchdog import Watchdog
    from acestep_fetch.storage.threads import Disk

    options = options or Options.from_environment()
    if bundle:
        options = replace(
            options,
            lock=bundle / BUNDLE_NAME,
            offline=False,
            models=(),
            all_models=False,
            skip_main=False,
            include=(),
            exclude=(),
            revision=None,
            force=False,
            dry_run=False,
        )
    if record:
        options = replace(options, lock=None)
    if options.offline and (report := up_to_date(options, listener)):
        return report
    folder, note = choose_folder(options.directory)
    ledger, began = Ledger(), time.monotonic()
    with Disk() as disk:
        context = Context(options, Layout(folder), disk, _teller(ledger, listener))
        ending = Ending(context, ledger, host, began)
        watchdog = Watchdog(context, ending.leave)
        with ending:
            models = wanted_models(options)
            names = tuple(model.name for model in models)
            context.emit(RunStarted(__version__, str(folder), names, "repair" if record else "get"))
            if note:
                context.emit(Note("info", note))
            records = locked_records(options, models) if record is None else {record.model: record_of(record)}
            known = {name: each for name, each in records.items() if each}
            ending.session = Session(context, models, lambda: _connect(options), known, lists, bundle)
            async with watchdog:
                await in_order(ending.session.run(), context, lambda: ending.hurry(watchdog.error))
    return ending.report


def _teller(ledger: Ledger, listener: Listener | None) -> Listener:
    """Adds up, and tells the listener."""
    told = guarded(listener) if listener else None

    def tell(event: Event) -> None:
        ledger.listen(event)
        if told:
            told(event)

    return tell


def guarded(listener: Listener) -> Listener:
    """A listener that raises is logged; it never harms a download."""

    def tell(event: Event) -> None:
        try:
            listener(event)
        except Exception:  # whatever a listener of somebody else's raises
            import logging

            logging.getLogger(__name__).exception("a listener failed on %s", event.name)

    return tell


def wanted_models(options: Options) -> Sequence[Model]:
    """What to make ready, main first as upstream does; where a lock is given and nothing named, what that has, in the
    catalogue's order. Raises `UsageError` for an unknown name and a lock that cannot be read."""
    catalogue = load_catalogue()
    if options.lock and not (options.models or options.all_models):
        named = catalogue.bring(model.repo for model in read_lock(options.lock).models)
        places = {model.name: place for place, model in enumerate(catalogue.known)}
        listed = sorted(named, key=lambda model: places.get(model.name, len(places)))
        return tuple(model for model in listed if not (options.skip_main and model.name == MAIN))
    models = catalogue.models if options.all_models else catalogue.bring(options.models or (MAIN,))
    main = catalogue.find(MAIN)
    others = tuple(model for model in models if model != main)
    if options.skip_main and not others:
        raise UsageError(
            "nothing is left to fetch: the main model is skipped, and no other is named",
            hint="name another model (--model)",
        )
    return others if options.skip_main else (main, *others)


def locked_records(options: Options, models: Sequence[Model]) -> dict[str, Record | None]:
    """What `options.lock` says of each of `models`; nothing where there is no lock. Raises `UsageError`, and
    `LockedError` where it lacks one (that is published)."""
    if options.lock is None:
        return {}
    if options.revision:
        raise UsageError(
            "--revision and a lock exclude each other", hint="leave out --revision: the lock names the commits already"
        )
    lock, records = read_lock(options.lock), dict[str, Record | None]()
    for model in models:
        found = lock.find(model.name)
        if found and found.repo == str(model.repo):
            records[model.name] = record_of_lock(found, options.lock.name)
        elif found or not (options.all_models and model.announced):
            has = f"has it as {found.repo}" if found else "does not have it"
            raise LockedError(
                f"{model.name} ({model.repo}): {options.lock} {has}",
                hint=f"`acestep-fetch lock --update --skip-main --model {model.repo}` adds it"
                if model.name != MAIN
                else "--skip-main leaves it out, `acestep-fetch lock --update --model main` adds it",
            )
    return records


@asynccontextmanager
async def _connect(options: Options) -> AsyncIterator[Network]:
    import asyncio
    from contextlib import AsyncExitStack
    from importlib import import_module

    from acestep_fetch.engine.opening import Network
    from acestep_fetch.hubs import HuggingFace, ModelScope, select
    from acestep_fetch.transport.api import HttpxApi
    from acestep_fetch.transport.proxies import Proxies

    connect = options.connect_timeout
    async with AsyncExitStack() as stack:

        async def open_transport() -> Transport:
            streams = await asyncio.to_thread(import_module, "acestep_fetch.transport.streams")
            opened: Transport = await stack.enter_async_context(
                streams.Streams(connect_timeout=connect, trust=api.trust, proxies=api.proxies)
            )
            return opened

        proxies = Proxies.chosen(options.proxy, options.no_proxy)
        api = await stack.enter_async_context(
            HttpxApi(connect_timeout=connect, ca_bundle=options.ca_bundle, proxies=proxies)
        )
        hubs = (
            HuggingFace(api, options.huggingface_endpoint, options.token),
            ModelScope(api, options.modelscope_endpoint, options.modelscope_token),
        )
        asked = [hub for hub in hubs if options.only in (None, hub.name)]
        yield Network(asked, api, open_transport, select)
