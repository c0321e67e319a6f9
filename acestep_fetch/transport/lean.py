"""httpx without its command line, which would draw in click, pygments and rich: half of the time of its import."""

from __future__ import annotations

import sys

_COMMAND_LINE = "httpx._main"  # httpx does without it where it cannot be imported

if "httpx" in sys.modules:
    import httpx as httpx
else:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # documented: the import raises ModuleNotFoundError
    try:
        import httpx as httpx
    finally:
        del sys.modules[_COMMAND_LINE]
