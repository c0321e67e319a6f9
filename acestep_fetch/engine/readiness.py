"""Is a model there already? Answered from its receipt and a few stat calls: no event loop, no socket, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from acestep_fetch.catalogue import Model, load_catalogue
from acestep_fetch.core.errors import FetchError, IncompleteError, UsageError
from acestep_fetch.core.events import Event, ModelReady, Note
from acestep_fetch.core.model import RepoId
from acestep_fetch.engine.recorded import Record, difference
from acestep_fetch.options import Options
from acestep_fetch.storage import receipts
from acestep_fetch.storage.layout import Layout


@dataclass(frozen=True, slots=True)
class Ready:
    """A model that needs nothing. `events` tell of it."""

    folders: tuple[str, ...]  # absolute
    events: tuple[Event, ...]


def selection_of(model: Model, options: Options) -> Mapping[str, Any]:
    """What a receipt must have been written for: all that changes which files `model` has."""
    revision = revision_of(model.repo, options)
    values = {"revision": revision, "include": list(options.include), "exclude": list(options.exclude)}
    return {name: value for name, value in values.items() if value}


def revision_of(repo: RepoId, options: Options) -> str | None:
    """The revision in which `repo` is asked for. Where models are named it is theirs: the main model that only comes
    along has commits of its own, and is taken as usual."""
    if options.revision and options.models and not options.all_models:
        named = load_catalogue().bring(options.models)
        return options.revision if any(model.repo == repo for model in named) else None
    return options.revision


def look(model: Model, layout: Layout, options: Options, record: Record | None = None) -> Ready | None:
    """The model, if its receipt fits what is asked for and what is on disk; None otherwise. With the `record` of a
    lock, it has to fit that too. Blocks for a moment."""
    if options.force:
        return None
    found = fitting(model, layout, options)
    if found is None or (record and record.lock and not _is_as_locked(found[0], record)):
        return None
    return _ready(model, layout, *found)


def fitting(model: Model, layout: Layout, options: Options) -> tuple[receipts.Receipt, receipts.Standing] | None:
    """The receipt that `look` goes by, and how it fits. Blocks for a moment."""
    asked = selection_of(model, options)
    candidates = [receipts.receipts_for(layout.receipts, model.name, asked)]
    if not receipts.is_whole(asked):  # a whole model has every selection of its files
        whole = {name: value for name, value in asked.items() if name == "revision"}
        candidates.append(receipts.receipts_for(layout.receipts, model.name, whole))
    for receipt in chain.from_iterable(candidates):
        if receipt.repo == str(model.repo) and (standing := receipts.compare(receipt, layout.root)).ready:
            return receipt, standing
    return None


def not_ready(
    missing: Sequence[Model], layout: Layout, options: Options, records: Mapping[str, Record | None]
) -> FetchError:
    """Why `missing` models are not ready, where nothing may be fetched (`Options.offline`) or nothing was to be. Blocks
    for a moment."""
    if options.force and options.offline:
        return UsageError("--force fetches again, and --offline fetches nothing", hint="leave out one of them")
    names = ", ".join(model.name for model in missing)
    why = {model.name: _why_not(model, layout, options, records.get(model.name)) for model in missing}
    said = "; ".join(f"{name}: {text}" if len(why) > 1 else text for name, text in why.items())
    text = f"{names or 'nothing'}: not ready in {layout.root} ({said})"
    if not options.offline:
        return IncompleteError(text, hint="the same command without --check fetches it")
    return IncompleteError(
        f"{text}, and --offline fetches nothing",
        hint="leave out --offline (and HF_HUB_OFFLINE); on a box without a network: acestep-fetch bundle needs",
    )


def _why_not(model: Model, layout: Layout, options: Options, record: Record | None) -> str:
    if options.force:
        return "--force fetches it again"
    found = fitting(model, layout, options)
    if found and record and (why := difference(found[0], record, whole=found[0].is_whole)):
        return why
    asked = selection_of(model, options)
    receipt = receipts.read_receipt(layout.receipts, model.name, asked)
    if receipt is None and "revision" in asked and (other := receipts.read_receipt(layout.receipts, model.name)):
        return f"what is here is {other.selection.get('revision', 'not known to be')}"
    if receipt is None:
        return "it was never completed here"
    damaged = receipts.compare(receipt, layout.root).damaged
    more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return f"{damaged[0]}{more}: missing or changed" if damaged else f"what is here is from {receipt.repo}"


def _is_as_locked(receipt: receipts.Receipt, record: Record) -> bool:
    return difference(receipt, record, whole=receipt.is_whole) is None


def _ready(model: Model, layout: Layout, receipt: receipts.Receipt, standing: receipts.Standing) -> Ready:
    events = list[Event]()
    if standing.drifted:
        names = ", ".join(standing.drifted[:4])
        events.append(Note("info", f"{names}: changed since the download (ACE-Step does that), left as it is"))
    folders = tuple(str(layout.final(name)) for name in receipt.commits if name)
    events.append(ModelReady(model.name, folders, len(receipt.files), receipt.size, fetched=False))
    return Ready(folders, tuple(events))
