"""From the last byte to a verdict: the large transfer's own task, which hashes, repairs and finishes."""

from __future__ import annotations

from acestep_fetch.core.errors import IntegrityError
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.frontier import Frontier
from acestep_fetch.engine.repair import Repair
from acestep_fetch.engine.transfer import State, Transfer


async def complete(transfer: Transfer, frontier: Frontier, repair: Repair, context: Context) -> None:
    """Ends when the transfer is done (its part file still open, to be published) or failed (its part file closed).

    A part whose content is right by all sources and wrong by its digest is of no use to a later run: it is discarded.
    """
    part = transfer.part
    assert part is not None
    after = part.close
    try:
        while digests := await frontier.reach_end(part):
            if digests.agrees_with(transfer.file):
                repair.confirm()
                await transfer.grounded()
                transfer.finish(digests)
                return
            if not await repair.locate():
                transfer.fail(_mismatch(transfer, digests.sha256))
                after = part.discard
                break
            frontier.rewind()
    finally:
        if transfer.state is not State.DONE:
            await transfer.grounded()
            await context.disk.run(after)
            transfer.part = None


def _mismatch(transfer: Transfer, actual: str) -> IntegrityError:
    sources = " and ".join(name.title for name in transfer.places)
    expected = transfer.file.digest
    return IntegrityError(
        f"{transfer.label}: expected {expected.short if expected else '?'}, got sha256:{actual[:12]} from {sources}",
        hint="the bad data was deleted; the listing or the file on the hub is wrong: try later, or another --revision",
        attempts=transfer.attempts,
    )
