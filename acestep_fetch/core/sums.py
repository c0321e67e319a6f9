"""Lines of digests in the format of coreutils."""

from __future__ import annotations


def sum_line(sha256: str, path: str) -> str:
    """A line as ``sha256sum`` writes it: a name with a backslash or an end of line is escaped, and the line says so by
    a backslash at its start."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != path else ""
    return f"{mark}{sha256}  {escaped}"
