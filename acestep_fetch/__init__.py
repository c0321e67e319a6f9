"""ACE-Step checkpoints from Hugging Face and ModelScope: fast, resumable, every byte proven.

The public names are loaded on first use, so that ``import acestep_fetch`` costs milliseconds
and imports neither an HTTP library nor a hub's SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from acestep_fetch.api import Report, fetch, fetch_async
    from acestep_fetch.core.errors import FetchError
    from acestep_fetch.options import Options

__all__ = ["FetchError", "Options", "Report", "__version__", "fetch", "fetch_async"]

_HOMES = {
    "FetchError": "acestep_fetch.core.errors",
    "Options": "acestep_fetch.options",
    "Report": "acestep_fetch.api",
    "fetch": "acestep_fetch.api",
    "fetch_async": "acestep_fetch.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
