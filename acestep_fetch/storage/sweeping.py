"""What a loss of power can leave behind and nobody would ever ask for again."""

from __future__ import annotations

from contextlib import suppress

from acestep_fetch.storage.layout import Layout


def sweep(layout: Layout) -> None:
    """Removes journals whose part file is gone, and what was being written or copied. Only for who holds the lease.

    Parts stay: they are what the next run goes on from. Raises OSError.
    """
    if any(folder.is_symlink() for folder in (layout.state, layout.parts, layout.staging, layout.receipts)):
        return  # not ours; who writes there says so
    stale = [journal for journal in layout.parts.glob("*.journal") if not journal.with_suffix(".part").exists()]
    for path in (*stale, *layout.receipts.glob(".*.tmp"), *layout.staging.rglob(".[0-9]*-[0-9]*.tmp")):
        with suppress(FileNotFoundError):
            path.unlink()
