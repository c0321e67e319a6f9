"""What people call a source."""

from __future__ import annotations

from acestep_fetch.core.model import HubName


def title(source: str) -> str:
    """``Hugging Face`` for ``huggingface``; any other source's name as it is."""
    try:
        return HubName(source).title
    except ValueError:
        return source
