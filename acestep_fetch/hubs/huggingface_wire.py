"""Hugging Face's dialect: tree rows, the ``Link`` header, error replies. Pure.

Sources: the Hub's API documentation and huggingface_hub 2.4.0 (`utils/_http.py`, `hf_api.py`, `file_download.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from acestep_fetch.core.errors import AccessError, Failure, FetchError, IntegrityError, NotFoundError, SourceError
from acestep_fetch.core.model import RemoteFile, RepoId
from acestep_fetch.core.retry import asked_wait, is_busy
from acestep_fetch.hubs import listing

TITLE: Final = "Hugging Face"

MOST_SIBLINGS: Final = 1000  # as many as a page of the tree has: no cut was ever seen so early

_LINK: Final = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^\s";,]+))*)')
_REL: Final = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)


def next_page(link: str | None) -> str | None:
    """The target of ``rel="next"`` in a ``Link`` header (RFC 8288), as it is written there."""
    for target, params in _LINK.findall(link or ""):
        rel = _REL.search(params)
        if rel and "next" in (rel[1] or rel[2] or "").lower().split():
            return str(target)
    return None


def cached_at(repo: str, commit: str, path: str, git_sha1: str) -> str:
    """Where ``/resolve/`` redirects (307) for a file outside LFS of a public repository."""
    asked = quote(f"/{repo}/resolve/{quote(commit, safe='')}/{quote(path)}", safe="")
    return f"/api/resolve-cache/models/{repo}/{quote(commit, safe='')}/{quote(path)}?{asked}=&etag=%22{git_sha1}%22"


def is_content(headers: Mapping[str, str], commit: str, git_sha1: str | None) -> bool:
    """Whether a reply says that it carries the content `git_sha1` of `commit`."""
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    return (headers.get("x-repo-commit"), etag) == (commit, git_sha1)


def tree_rows(body: bytes) -> list[RemoteFile]:
    """The files of one page of ``/tree``; folders are skipped. Raises `IntegrityError` for any other shape."""
    page = listing.parse_json(TITLE, body)
    if not isinstance(page, list):
        raise listing.disbelief(TITLE, "it is not a list")
    rows = [listing.fields_of(TITLE, row) for row in page]
    return [_file(row) for row in rows if not _is_folder(row)]


def _is_folder(row: Mapping[str, Any]) -> bool:
    if row.get("type") not in ("file", "directory"):
        raise listing.disbelief(TITLE, "an entry is neither a file nor a directory")
    return bool(row["type"] == "directory")


def _file(row: Mapping[str, Any]) -> RemoteFile:
    """`oid` is the content's git id only where there is no `lfs`; there it is the pointer file's."""
    path = listing.path_of(TITLE, row.get("path"))
    size = listing.size_of(TITLE, path, row.get("size"))
    lfs = row.get("lfs")
    if lfs is None:
        return RemoteFile(path, size, git_sha1=listing.sha1_of(row.get("oid")))
    lfs = listing.fields_of(TITLE, lfs)
    if "size" in lfs and listing.size_of(TITLE, path, lfs["size"]) != size:
        raise listing.disbelief(TITLE, f"{path} is listed with two sizes")
    return RemoteFile(path, size, sha256=listing.sha256_of(lfs.get("oid") or lfs.get("sha256")))


@dataclass(frozen=True, slots=True)
class Revision:
    """``/revision/{rev}?blobs=true``. `files` None: the answer may not name all of them, ask for the tree."""

    commit: str
    present_id: str | None  # of the repository, which may have been renamed
    files: list[RemoteFile] | None


def revision_of(body: bytes) -> Revision:
    """Raises `IntegrityError` where there is no commit."""
    info = listing.fields_of(TITLE, listing.parse_json(TITLE, body))
    commit, name = listing.sha1_of(info.get("sha")), info.get("id")
    if commit is None:
        raise listing.disbelief(TITLE, "the revision has no commit")
    return Revision(commit, name if isinstance(name, str) else None, _siblings(info.get("siblings")))


def _siblings(rows: object) -> list[RemoteFile] | None:
    """The files of ``siblings``, where they are few, and each has a path, a size and a digest; else None.

    The Hub cuts the siblings of repositories with thousands of files without a word, so a long list counts for nothing.
    """
    if not isinstance(rows, list) or not 0 < len(rows) < MOST_SIBLINGS:
        return None
    try:
        files = [_sibling(listing.fields_of(TITLE, row)) for row in rows]
    except IntegrityError:
        return None  # the tree is the last word, and says what is wrong if it is wrong there too
    return files if all(file.digest for file in files) else None


def _sibling(row: Mapping[str, Any]) -> RemoteFile:
    return _file({**row, "path": row.get("rfilename"), "oid": row.get("blobId")})


def complaint(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """``X-Error-Code`` and what the server says, from the header or the body's ``error``."""
    code, text = headers.get("x-error-code", ""), headers.get("x-error-message", "")
    return code, text or _error_of(body)


def _error_of(body: bytes) -> str:
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(body)
    text = found.get("error") if isinstance(found, dict) else None
    return text if isinstance(text, str) else ""


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """What a reply below 200 or above 399 means for the file that was asked for."""
    code, text = complaint(headers, body)
    if is_busy(status):
        return Failure.BUSY
    if status == 401 and not code and "Invalid credentials" in text:  # refused even for public repositories
        return Failure.BAD_TOKEN
    if status in (404, 410):
        return Failure.MISSING
    if status in (401, 403, 451) or "is disabled" in text:
        return Failure.REFUSED
    return Failure.WRONG_REPLY


def source_error(status: int, headers: Mapping[str, str], body: bytes, what: str, now: float) -> SourceError:
    failure = failure_of(status, headers, body)
    wait = asked_wait(status, headers, now) if failure is Failure.BUSY else None
    return SourceError(failure, f"{TITLE}: HTTP {status} for {what}", retry_after=wait)


def listing_error(
    status: int, headers: Mapping[str, str], body: bytes, repo: RepoId, revision: str, page: str
) -> FetchError:
    """Why a listing was refused, in the order in which `hf_raise_for_status` decides.

    A missing and a private repository look the same to a stranger, on purpose: 401 with ``RepoNotFound``.
    """
    code, text = complaint(headers, body)
    token_hint = f"if you may see {page}, log in with `hf auth login` or set HF_TOKEN"
    if code == "RevisionNotFound":
        return NotFoundError(
            f"{TITLE}: {repo} has no revision {revision!r}", hint=f"{page} lists its revisions", of_revision=True
        )
    if code == "GatedRepo":
        return AccessError(
            f"{TITLE}: {repo} is gated", hint=f"accept its terms at {page}, then set HF_TOKEN to your token"
        )
    if code == "RepoNotFound" or (status == 401 and not code and "Invalid credentials" not in text):
        return NotFoundError(f"{TITLE}: {repo} is missing or private", hint=token_hint)
    if text.startswith("Access to this resource is disabled"):
        return AccessError(
            f"{TITLE}: access to {repo} is disabled", hint="try the other hub (--prefer-source modelscope)"
        )
    if status in (404, 410):
        return NotFoundError(f"{TITLE}: {repo} at {revision!r} is missing", hint=token_hint)
    if status in (401, 403, 451):
        return AccessError(f"{TITLE}: HTTP {status} for {repo}", hint=token_hint)
    return SourceError(failure_of(status, headers, body), f"{TITLE}: HTTP {status} for the file list of {repo}")
