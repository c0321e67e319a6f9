"""From the last byte to a verdict: the large transfer's own task, which hashes, repairs and finishes."""

from __future__ import annotations

from acestep_fetch.core.errors import IntegrityError, NetworkError
from acestep_fetch.engine.frontier import Frontier
from acestep_fetch.engine.repair import Repair
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.storage.parts import PartFile


async def complete(transfer: Transfer, part: PartFile, frontier: Frontier, repair: Repair) -> None:
    """Ends when the transfer is done or failed; the part file stays its caller's.

    A part whose content is right by all sources and wrong by its digest is marked as useless to a later run. Where the
    sources could not be compared, it is kept.
    """
    while digests := await frontier.reach_end(part):
        if digests.agrees_with(transfer.file):
            repair.confirm()
            transfer.finish(digests)
            return
        if await repair.locate():
            frontier.rewind()
            continue
        transfer.useless = repair.conclusive
        transfer.fail(_mismatch(transfer, digests.sha256) if repair.conclusive else _unclear(transfer))


def _mismatch(transfer: Transfer, actual: str) -> IntegrityError:
    brought = [name for name in transfer.places if transfer.by_source[name.value]]
    sources = " and ".join(name.title for name in brought or transfer.places)
    expected = transfer.file.digest
    return IntegrityError(
        f"{transfer.label}: expected {expected.short if expected else '?'}, got sha256:{actual[:12]} from {sources}",
        hint="nothing wrong was kept; the hub's list or file is wrong: try later, or another revision (--revision)",
        attempts=transfer.attempts,
    )


def _unclear(transfer: Transfer) -> NetworkError:
    return NetworkError(
        f"{transfer.label}: the digest is wrong, and no source could be asked which piece it is",
        hint="run the same command again: what is there is kept",
        attempts=transfer.attempts,
    )
