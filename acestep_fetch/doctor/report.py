"""One text for a bug report: what was found, on which machine, and what lies in the folder. No secret, no home."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from acestep_fetch.core.secrecy import remember, scrubbed
from acestep_fetch.doctor.findings import Finding
from acestep_fetch.doctor.machine import token_variables, versions

_OURS: Final = ("ACESTEP_", "HF_", "HUGGING_FACE_", "MODELSCOPE_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_")
_MOST: Final = 500  # files of the folder that are listed
INDENT: Final = 28  # columns of a line before what was found


def line(finding: Finding) -> str:
    """``FAIL  disk                  3.1 GB free, but ...  -> free 6.3 GB``"""
    todo = f"  -> {finding.todo}" if finding.todo else ""
    return f"{finding.level:<4}  {finding.what:<20}  {finding.detail}{todo}"


def report(
    findings: Iterable[Finding], root: Path, *, now: datetime | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """The text, safe to show: without tokens, logins and the home folder's name."""
    env = os.environ if environ is None else environ
    lines = [
        f"acestep-fetch doctor, {(now or datetime.now(UTC)).strftime('%Y-%m-%d %H:%M:%S')} UTC",
        "",
        *map(line, findings),
        "",
        "packages: " + ", ".join(f"{name} {found or 'not installed'}" for name, found in versions().items()),
        "",
        "environment:",
        *_variables(env),
        "",
        f"{root}:",
        *_contents(root),
    ]
    return redacted("\n".join(lines) + "\n", env)


def redacted(text: str, environ: Mapping[str, str]) -> str:
    for name in token_variables(environ):
        remember(environ[name].strip())
    text = scrubbed(text)
    for home in {environ.get(name, "") for name in ("HOME", "USERPROFILE")} - {"", "/"}:
        text = text.replace(home.rstrip("/\\"), "~")
    return text


def _variables(environ: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(environ):
        if "TOKEN" in name.upper() and name.startswith(_OURS) and not name.endswith("_PATH"):
            yield f"  {name} is {'set' if environ[name] else 'empty'}"
        elif name.startswith(_OURS) or name.lower().endswith("_proxy"):
            yield f"  {name}={environ[name]}"


def _contents(root: Path) -> Iterator[str]:
    listed = 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            listed += 1
            if listed > _MOST:
                yield f"  ... and more than these {_MOST}"
                return
            path = Path(folder, name)
            try:
                yield f"  {path.lstat().st_size:>14,}  {path.relative_to(root).as_posix()}"
            except OSError as exc:
                yield f"  {exc.strerror or exc}: {path.relative_to(root).as_posix()}"
    if not listed:
        yield "  nothing"
