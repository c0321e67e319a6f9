"""ACE-Step checkpoints from Hugging Face and ModelScope: fast, resumable, every byte proven.

The public names are loaded on first use, so that ``import acestep_fetch`` costs milliseconds
and imports neither an HTTP library nor a hub's SDK. docs/python.md shows how they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from acestep_fetch import compat, events
    from acestep_fetch.client.calls import ensure, fetch, lock, models, plan, status, verify
    from acestep_fetch.client.settings import Settings
    from acestep_fetch.client.streaming import AsyncClient, Download
    from acestep_fetch.core.errors import (
        AccessError,
        DiskError,
        DiskFullError,
        FetchError,
        IncompleteError,
        IntegrityError,
        LeaseError,
        LockedError,
        NetworkError,
        NotFoundError,
        PartialError,
        StoppedError,
        StuckError,
        UsageError,
    )
    from acestep_fetch.core.lock import Lock
    from acestep_fetch.engine.plan import Plan
    from acestep_fetch.engine.report import FileReport, Report
    from acestep_fetch.engine.standing import ModelState, State, Status
    from acestep_fetch.engine.upkeep import Verification
    from acestep_fetch.options import Options

__all__ = [
    "AccessError",
    "AsyncClient",
    "DiskError",
    "DiskFullError",
    "Download",
    "FetchError",
    "FileReport",
    "IncompleteError",
    "IntegrityError",
    "LeaseError",
    "Lock",
    "LockedError",
    "ModelState",
    "NetworkError",
    "NotFoundError",
    "Options",
    "PartialError",
    "Plan",
    "Report",
    "Settings",
    "State",
    "Status",
    "StoppedError",
    "StuckError",
    "UsageError",
    "Verification",
    "__version__",
    "compat",
    "ensure",
    "events",
    "fetch",
    "lock",
    "models",
    "plan",
    "status",
    "verify",
]

_HOMES = {
    "client.calls": ("ensure", "fetch", "lock", "models", "plan", "status", "verify"),
    "client.settings": ("Settings",),
    "client.streaming": ("AsyncClient", "Download"),
    "core.lock": ("Lock",),
    "engine.plan": ("Plan",),
    "engine.report": ("FileReport", "Report"),
    "engine.standing": ("ModelState", "State", "Status"),
    "engine.upkeep": ("Verification",),
    "options": ("Options",),
}
_MODULES = ("compat", "events")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        home = next((module for module, names in _HOMES.items() if name in names), "core.errors")
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
