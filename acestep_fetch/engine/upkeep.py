"""Finished models, looked at again: what `verify` finds, and what `repair` has the next run fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from shlex import quote
from threading import Event
from typing import Any, Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.asking import command
from acestep_fetch.core.errors import IncompleteError, LeaseError, StoppedError, UsageError
from acestep_fetch.storage import platform
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.receipts import Receipt, all_receipts
from acestep_fetch.storage.verifying import Condition, Finding, has_news, inspect, take_back

_HASHERS: Final = 2

Tell = Callable[[Receipt, Finding], None]


@dataclass(frozen=True, slots=True)
class Verification:
    """A model as it was recorded and as it is, file by file."""

    receipt: Receipt
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.is_fault)

    @property
    def changed(self) -> tuple[Finding, ...]:
        """Files that the application or the user has changed, as they may."""
        return tuple(finding for finding in self.findings if finding.condition is Condition.CHANGED)

    def to_dict(self) -> dict[str, Any]:
        """The model and its files in JSON's own types; sizes and offsets are bytes."""
        return {
            "model": self.receipt.model,
            "repo": self.receipt.repo,
            "selection": self.receipt.selection,
            "size": self.receipt.size,
            "right": not self.faults,
            "files": [_described(finding) for finding in self.findings],
        }


def _described(finding: Finding) -> dict[str, Any]:
    """`bad` are the bytes that do not hold, as `[start, stop)`, where that is known."""
    return {
        "path": finding.file.path,
        "size": finding.file.size,
        "sha256": finding.file.sha256,
        "condition": finding.condition.value,
        "why": finding.why,
        "bad": [[span.start, span.stop] for span in finding.bad],
    }


def recorded(layout: Layout, names: Sequence[str]) -> list[Receipt]:
    """The receipts of the models `names` (short forms too), or all. Raises `IncompleteError` for a model that has none,
    and `DiskError` where they cannot be read."""
    platform.require_folder(layout.root)
    try:
        receipts = list(all_receipts(layout.receipts))
    except OSError as exc:
        raise platform.explain(exc, exc.filename or layout.receipts) from exc
    has = {receipt.model for receipt in receipts}
    names = [name if name in has else _known_as(name) for name in names]
    for name in names:
        if name not in has:
            todo = command(f"--model {quote(name)}", layout.root)
            raise IncompleteError(
                f"{name} was never completed in {layout.root}",
                hint=f"`{todo}` takes what is there and fetches what is missing",
            )
    if not receipts:
        todo = command("", layout.root)
        raise IncompleteError(
            f"no model was ever completed in {layout.root}",
            hint=f"choose the checkpoints folder with --dir, or fetch the main model into it: {todo}",
        )
    return [receipt for receipt in receipts if not names or receipt.model in names]


def _known_as(name: str) -> str:
    """The name of a model that is named by a short form, or by its repository."""
    try:
        return load_catalogue().find(name).name
    except UsageError:
        return name


def verify(
    layout: Layout,
    receipts: Sequence[Receipt],
    *,
    fast: bool,
    tell: Tell = lambda receipt, finding: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Verification]:
    """One model after the other. `tell` hears of each file as soon as it was looked at. Blocks; opens no socket.

    Ends soon where it is given up, by Ctrl-C for one, or `is_cancelled`, which raises `StoppedError`: files that are
    being read are not read to their end.
    """
    stopped = Event()

    def keep_on() -> None:
        if stopped.is_set():
            raise CancelledError
        if is_cancelled():
            raise StoppedError

    with ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash") as pool:
        try:
            for receipt in receipts:
                findings = list[Finding]()
                for finding in pool.map(partial(inspect, layout, fast=fast, keep_on=keep_on), receipt.files):
                    keep_on()  # a small file is read in one go
                    tell(receipt, finding)
                    findings.append(finding)
                yield Verification(receipt, tuple(findings))
        finally:
            stopped.set()


def prepare_repair(layout: Layout, verifications: Sequence[Verification]) -> None:
    """Hands what is at fault back to the next run, and writes down what turned out right.

    Raises `LeaseError` while somebody downloads into the folder, and what the disk raises as `DiskError`.
    """
    verifications = [v for v in verifications if has_news(v.findings)]
    if not verifications:
        return
    try:
        taken = Lease.take(layout.lease)
        if not isinstance(taken, Lease):
            raise LeaseError(f"{taken} is downloading into this folder", hint="wait for it to end, then run this again")
        try:
            for verification in verifications:
                take_back(layout, verification.receipt, verification.findings)
        finally:
            taken.release()
    except OSError as exc:
        raise platform.explain(exc, exc.filename or layout.root) from exc
