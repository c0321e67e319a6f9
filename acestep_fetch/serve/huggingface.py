"""Hugging Face's API over a library. The protocol is the one in facts/huggingface.md, sections 1 to 4.

Files in LFS are answered with 302 to a signed address, the others with 307 to the resolver's cache, which has the
bytes. Xet is never offered, so that clients take the plain path.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp import hdrs, web

from acestep_fetch.core.model import SHA1_HEX, RepoId
from acestep_fetch.serve.content import disposition, ranged
from acestep_fetch.serve.library import Blob, Entry, Library, Listing
from acestep_fetch.serve.signing import Signer

DEFAULT_BRANCH: Final = "main"
PAGE: Final = 1000  # entries; the hub's own limit
EXPANDED_PAGE: Final = 50
_REPO: Final = "{owner}/{name}"


class Moved(web.HTTPException):
    status_code = 307


class HuggingFaceRoutes:
    """`page` is the number of entries on one page of a tree."""

    def __init__(self, library: Library, signer: Signer, *, page: int = PAGE) -> None:
        self._library, self._signer, self._page = library, signer, page

    def routes(self) -> list[web.RouteDef]:
        api = f"/api/models/{_REPO}"
        return [
            web.get(api, self.info),
            web.get(api + "/revision/{revision}", self.info),
            web.get(api + "/tree/{revision}", self.tree),
            web.get(api + "/tree/{revision}/{folder:.+}", self.tree),
            web.post(api + "/paths-info/{revision}", self.paths_info),
            web.get(f"/{_REPO}/resolve/{{revision}}/{{path:.+}}", self.resolve),
            web.get(f"/api/resolve-cache/models/{_REPO}/{{revision}}/{{path:.+}}", self.cached),
        ]

    async def info(self, request: web.Request) -> web.StreamResponse:
        listing = await self._listing(request)
        with_blobs = request.query.get("blobs", "").lower() in ("true", "1")
        modified = datetime.fromtimestamp(listing.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return web.json_response(
            {
                "_id": listing.commit[:24],
                "id": str(listing.repo),
                "modelId": str(listing.repo),
                "author": listing.repo.owner,
                "sha": listing.commit,
                "lastModified": modified,
                "createdAt": modified,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "usedStorage": sum(blob.size for blob in listing.blobs.values()),
                "siblings": [_sibling(blob, with_blobs) for blob in listing.blobs.values()],
            }
        )

    async def tree(self, request: web.Request) -> web.StreamResponse:
        listing = await self._listing(request)
        under = request.match_info.get("folder", "").strip("/")
        expand, recursive = (request.query.get(key, "").lower() in ("true", "1") for key in ("expand", "recursive"))
        entries = listing.entries(under, recursive=recursive)
        if entries is None:
            raise _no_entry(listing, under)
        largest = min(self._page, EXPANDED_PAGE) if expand else self._page
        limit = max(1, min(largest, _number(request.query.get("limit"), largest)))
        start = _number(_decoded(request.query.get("cursor", "")), 0)
        headers = {}
        if start + limit < len(entries):
            cursor = urlsafe_b64encode(str(start + limit).encode()).decode()
            following = request.url.update_query(cursor=cursor, limit=str(limit))
            headers["Link"] = f'<{following}>; rel="next"'
        rows = [_row(entry, listing, expand) for entry in entries[start : start + limit]]
        return web.json_response(rows, headers=headers)

    async def paths_info(self, request: web.Request) -> web.StreamResponse:
        listing = await self._listing(request)
        if request.content_type == "application/json":
            asked = await request.json()
            paths, expand = asked.get("paths", []), bool(asked.get("expand"))
        else:
            form = await request.post()
            paths, expand = form.getall("paths", []), str(form.get("expand", "")).lower() == "true"
        known: Mapping[str, Entry] = {**listing.folders, **listing.blobs}
        found = [known[path] for path in map(str, paths) if path in known]
        return web.json_response([_row(entry, listing, expand) for entry in found])

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        listing = await self._listing(request)
        blob = await self._blob(request, listing)
        headers = _headers(listing)
        if blob.lfs:
            return web.Response(status=302, headers=headers | self._signed(request, blob, listing))
        if not blob.size:  # the hub sends nothing to its cache for an empty file (huggingface_hub#4815)
            return ranged(request, blob, blob.etag, headers)
        etag = quote(f'"{blob.oid}"')
        at = f"/api/resolve-cache/models/{listing.repo}/{listing.commit}/{quote(blob.path)}"
        here = quote(request.raw_path.partition("?")[0], safe="")
        return web.Response(status=307, headers=headers | {hdrs.LOCATION: f"{at}?{here}=&etag={etag}"})

    async def cached(self, request: web.Request) -> web.StreamResponse:
        listing = await self._listing(request)
        blob = await self._blob(request, listing)
        headers = _headers(listing) | {hdrs.CONTENT_DISPOSITION: disposition(blob.path)}
        return ranged(request, blob, blob.etag, headers)

    def _signed(self, request: web.Request, blob: Blob, listing: Listing) -> dict[str, str]:
        named = {"response-content-disposition": disposition(blob.path), "filename": blob.path}
        query = urlencode({**named, "commit": listing.commit, **self._signer.huggingface_query(blob.sha256)})
        return {
            hdrs.LOCATION: f"{request.url.origin()}/lfs/{blob.sha256}?{query}",
            "X-Linked-Size": str(blob.size),
            "X-Linked-ETag": f'"{blob.sha256}"',
            "Cache-Control": "no-store",
        }

    async def _listing(self, request: web.Request) -> Listing:
        asked = RepoId(request.match_info["owner"], request.match_info["name"])
        repo = await self._library.find(asked.owner, asked.name)
        if repo is None or (repo != asked and str(asked) not in request.raw_path):
            raise refusal(401, "RepoNotFound", "Repository not found")
        if repo != asked:
            raise Moved(headers={hdrs.LOCATION: request.raw_path.replace(str(asked), str(repo), 1)})
        revision = request.match_info.get("revision", DEFAULT_BRANCH)
        commit = None if revision == DEFAULT_BRANCH else revision
        listing = await self._library.listing(repo, commit) if not commit or SHA1_HEX.fullmatch(commit) else None
        if listing is None and commit is None:
            raise refusal(401, "RepoNotFound", "Repository not found")
        if listing is None:
            raise refusal(404, "RevisionNotFound", f"Invalid rev id: {revision!r}")
        return listing

    async def _blob(self, request: web.Request, listing: Listing) -> Blob:
        path = request.match_info["path"]
        blob = await self._library.blob(listing, path)
        if blob is None:
            raise _no_entry(listing, path)
        return blob


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.HTTPException:
    """An error in this hub's dialect: the code and the message are headers, the body repeats the message."""
    kind = web.HTTPUnauthorized if status == 401 else web.HTTPNotFound
    said = {"X-Error-Code": code, "X-Error-Message": message.encode("ascii", "replace").decode(), **(headers or {})}
    return kind(text=json.dumps({"error": message}), content_type="application/json", headers=said)


def _no_entry(listing: Listing, path: str) -> web.HTTPException:
    return refusal(404, "EntryNotFound", f"{path!r} does not exist", {"X-Repo-Commit": listing.commit})


def _headers(listing: Listing) -> dict[str, str]:
    return {"X-Repo-Commit": listing.commit, hdrs.ACCEPT_RANGES: "bytes"}


def _sibling(blob: Blob, with_blobs: bool) -> dict[str, Any]:
    if not with_blobs:
        return {"rfilename": blob.path}
    lfs = {"lfs": {"sha256": blob.sha256, "size": blob.size, "pointerSize": _pointer_size(blob)}}
    return {"rfilename": blob.path, "blobId": blob.oid, "size": blob.size, **(lfs if blob.lfs else {})}


def _row(entry: Entry, listing: Listing, expand: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "directory", "oid": entry.oid, "size": 0, "path": entry.path}
    if isinstance(entry, Blob):
        row |= {"type": "file", "size": entry.size}
        if entry.lfs:
            row["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": _pointer_size(entry)}
    if expand:
        date = datetime.fromtimestamp(listing.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        row["lastCommit"] = {"id": listing.commit, "title": "embedded hub", "date": date}
    return row


def _pointer_size(blob: Blob) -> int:
    return 125 + len(str(blob.size))


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else otherwise


def _decoded(cursor: str) -> str:
    try:
        return urlsafe_b64decode(cursor.encode()).decode()
    except ValueError:
        return ""
