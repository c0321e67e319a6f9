"""Why models were chosen for a GPU, in words; for `recommend`, and for commands with ``--for-gpu``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from acestep_fetch.display.units import one_line

if TYPE_CHECKING:
    from acestep_fetch.engine.gpu import Recommendation


def explanation(found: Recommendation) -> Iterator[str]:
    """The rule, and what went wrong while looking for the GPU."""
    for note in found.detection.notes:
        yield one_line(f"note: {note}")
    yield f"{found.vram_gb:g} GB -> {found.why}" if found.vram_gb else f"no GPU -> {found.why}"
    yield "main is always part of it: ACE-Step fetches it at its first start anyhow"
