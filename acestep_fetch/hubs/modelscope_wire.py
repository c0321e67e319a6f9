"""ModelScope's dialect: the envelope around every answer, its codes, listing rows, revisions. Pure.

HTTP statuses tell little here: missing, private and gated are all 404, an unknown revision is a 200 without files,
and a database in trouble says 404 too. So the envelope's ``Code`` and ``Message`` decide
(`facts/modelscope.md`, 1.2 to 1.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from acestep_fetch.core.errors import Failure
from acestep_fetch.core.model import RemoteFile
from acestep_fetch.core.retry import is_busy
from acestep_fetch.hubs import listing

TITLE: Final = "ModelScope"

ABSENT: Final = 10010205001  # "record not found"; also what a database in trouble answers
_CODES: Final = {
    ABSENT: Failure.MISSING,
    10990101004: Failure.MISSING,  # no file tree at that revision or folder
    10990101007: Failure.MISSING,  # file missing or empty; seen with 404 and with 200
    10010200001: Failure.REFUSED,  # private, gated, or a token without the grant
    10010103009: Failure.BAD_TOKEN,
}
_DATABASE: Final = re.compile(
    r"\bError \d{4}\b|max_prepared_stmt|too many connections|deadlock|bad connection|driver:|connection refused"
    r"|i/o timeout|context deadline",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """``{"Code", "Data", "Message", "Success"}``. `code` is the HTTP status where there is no envelope."""

    status: int
    code: int
    success: bool
    message: str
    data: Any

    @property
    def ok(self) -> bool:
        """Both must say so; the HTTP status alone says nothing."""
        return self.status == 200 and self.code == 200 and self.success

    @property
    def bare(self) -> bool:
        """Whether something before the hub's own code answered, such as its gateway."""
        return not self.success and self.code == self.status and self.data is None


def envelope_of(status: int, body: bytes) -> Envelope:
    """The envelope of an API reply. Raises `IntegrityError` for a 200 that has none."""
    found = _json_object(body)
    if found is not None and _is_code(found.get("Code")):
        message = found.get("Message")
        text = message if isinstance(message, str) else ""
        return Envelope(status, found["Code"], found.get("Success") is True, text, found.get("Data"))
    if status == 200:
        raise listing.disbelief(TITLE, "the reply is not an envelope")
    return Envelope(status, status, False, "", None)


def error_in(body: bytes) -> Envelope | None:
    """The error envelope that came in place of a file; None for anything that may be the file.

    A JSON file that happens to have a ``Code`` must also have a ``RequestId``, or ``Success: false``, to be taken
    for one, and the code must not be the one for success.
    """
    found = _json_object(body) if body.lstrip()[:1] == b"{" else None
    if found is None or not _is_code(found.get("Code")) or found["Code"] == 200:
        return None
    if "RequestId" not in found and found.get("Success") is not False:
        return None
    return envelope_of(200, body)


def failure_of(envelope: Envelope) -> Failure:
    """What an answer that is not ok means. The message goes before the code where it shows a database error."""
    if _DATABASE.search(envelope.message):
        return Failure.BUSY
    if envelope.code in _CODES:
        return _CODES[envelope.code]
    if is_busy(envelope.status) or is_busy(envelope.code):
        return Failure.BUSY
    if envelope.status == 401 or envelope.code == 401:
        return Failure.BAD_TOKEN
    if envelope.status == 403 or envelope.code == 403:
        return Failure.REFUSED
    if envelope.status in (404, 410) or envelope.code == 404:
        return Failure.MISSING
    return Failure.WRONG_REPLY


@dataclass(frozen=True, slots=True)
class Page:
    """One listing: `files` and `folders` in the hub's order; both empty where the hub said ``Files: null``."""

    files: tuple[RemoteFile, ...]
    folders: tuple[str, ...]
    head: str  # the commit's hex, possibly only its first digits; "" where the hub does not say

    @property
    def rows(self) -> int:
        return len(self.files) + len(self.folders)


def page_of(data: object) -> Page:
    """Raises `IntegrityError` for rows of any other shape than facts 1.2."""
    fields = listing.fields_of(TITLE, data)
    rows = fields.get("Files")
    if rows is not None and not isinstance(rows, list):
        raise listing.disbelief(TITLE, "it is not a list")
    files, folders = list[RemoteFile](), list[str]()
    for row in (listing.fields_of(TITLE, row) for row in rows or ()):
        path = listing.path_of(TITLE, row.get("Path"))
        if row.get("Type") == "tree":
            folders.append(path)
        elif row.get("Type") == "blob":
            size = listing.size_of(TITLE, path, row.get("Size"))
            files.append(RemoteFile(path, size, sha256=listing.sha256_of(row.get("Sha256"))))
        else:
            raise listing.disbelief(TITLE, f"{path} is neither a file nor a folder")
    return Page(tuple(files), tuple(folders), _head(fields.get("LatestCommitter")))


def _head(committer: object) -> str:
    """``Id`` was seen empty with ``ShortId`` = the first 8 digits of HEAD."""
    found = committer if isinstance(committer, dict) else {}
    for key in ("Id", "ShortId"):
        value = found.get(key)
        if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{7,40}", value):
            return value.lower()
    return ""


def commit_of(data: object) -> str | None:
    """``Data.Commit[0].Id`` of ``/commits``; None where there is none (``Commit: null`` for an unknown ref)."""
    commits = data.get("Commit") if isinstance(data, dict) else None
    first = commits[0] if isinstance(commits, list) and commits else None
    return listing.sha1_of(first.get("Id")) if isinstance(first, dict) else None


def revisions_of(data: object) -> tuple[str, ...]:
    """The names of all branches and tags in ``Data.RevisionMap``, branches first."""
    known = data.get("RevisionMap") if isinstance(data, dict) else None
    found: Mapping[str, Any] = known if isinstance(known, dict) else {}
    rows = [row for key in ("Branches", "Tags") for row in (found.get(key) or ()) if isinstance(row, dict)]
    return tuple(row["Revision"] for row in rows if isinstance(row.get("Revision"), str))


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_code(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
