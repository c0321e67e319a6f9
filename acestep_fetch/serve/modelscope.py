"""ModelScope's API over a library. The protocol is the one in facts/modelscope.md, sections 1 and 2.

Its oddities are kept, because clients must live with them: an unknown revision is 200 with ``Files: null``, a listing
is cut silently, and the gateway answers a bounded range with 200 and ignores an open one.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import uuid4

from aiohttp import hdrs, web

from acestep_fetch.core.model import SHA1_HEX
from acestep_fetch.core.spans import Span
from acestep_fetch.serve.content import FileBody, UnsatisfiableRangeError, content_range, parse_range
from acestep_fetch.serve.library import Blob, Entry, Library, Listing
from acestep_fetch.serve.signing import Signer

DEFAULT_BRANCH: Final = "master"
LISTED_AT_MOST: Final = 3000  # entries, folders included; nothing says that there were more

NO_REPO: Final = 10010205001
NO_TREE: Final = 10990101004
NO_FILE: Final = 10990101007
_BOUNDED: Final = re.compile(r"bytes=\d+-\d+")
_REPO: Final = "{owner}/{name}"


class ModelScopeRoutes:
    """`listed_at_most` is where a listing is cut."""

    def __init__(self, library: Library, signer: Signer, *, listed_at_most: int = LISTED_AT_MOST) -> None:
        self._library, self._signer, self._listed_at_most = library, signer, listed_at_most

    def routes(self) -> list[web.RouteDef]:
        api = f"/api/v1/models/{_REPO}"
        return [
            web.get(api, self.info),
            web.get(api + "/repo/files", self.files),
            web.get(api + "/revisions", self.revisions),
            web.get(api + "/commits", self.commits),
            web.get(api + "/repo", self.download),
            web.get(f"/models/{_REPO}/resolve/{{revision}}/{{path:.+}}", self.resolve),
            web.get(f"/openapi/v1/models/{_REPO}", self.open_info),
            web.get("/api/v1/repos/internalAccelerationInfo", self.acceleration),
        ]

    async def info(self, request: web.Request) -> web.StreamResponse:
        listing = await self._newest(request)
        repo = listing.repo
        return envelope({"Path": repo.owner, "Name": repo.name, "Revision": DEFAULT_BRANCH, "Visibility": 5})

    async def open_info(self, request: web.Request) -> web.StreamResponse:
        listing = await self._newest(request)
        data = {"id": str(listing.repo), "owner": listing.repo.owner, "name": listing.repo.name}
        said = {"success": True, "data": data, "message": "", "code": "", "request_id": str(uuid4())}
        return web.json_response(said)

    async def acceleration(self, _: web.Request) -> web.StreamResponse:
        return envelope({})

    async def files(self, request: web.Request) -> web.StreamResponse:
        await self._newest(request)
        listing = await self._at(request, request.query.get("Revision"))
        if listing is None:
            return envelope({"Files": None, "IsVisual": 0, "LatestCommitter": None})
        recursive = request.query.get("Recursive", "") in ("True", "true")
        entries = listing.entries(request.query.get("Root", "").strip("/"), recursive=recursive)
        if entries is None:
            raise refusal(404, NO_TREE, "no file tree at this root")
        committer = {"Id": "", "ShortId": listing.commit[:8], "Name": "embedded", "Email": ""}
        rows = [_row(entry, listing) for entry in entries[: self._listed_at_most]]
        return envelope({"Files": rows, "IsVisual": 0, "LatestCommitter": committer})

    async def revisions(self, request: web.Request) -> web.StreamResponse:
        listing = await self._newest(request)
        branch = {"Revision": DEFAULT_BRANCH, "CreatedAt": int(listing.modified)}
        return envelope({"RevisionMap": {"Branches": [branch], "Tags": []}})

    async def commits(self, request: web.Request) -> web.StreamResponse:
        await self._newest(request)
        listing = await self._at(request, request.query.get("Ref"))
        if listing is None:
            return envelope({"Commit": None, "TotalCount": 0})
        created = int(listing.modified)
        commit = {"Id": listing.commit, "ShortId": listing.commit[:8], "CommittedDate": created, "CreatedAt": created}
        return envelope({"Commit": [commit], "TotalCount": 1})

    async def download(self, request: web.Request) -> web.StreamResponse:
        return await self._file(request, request.query.get("Revision"), request.query.get("FilePath", ""))

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        return await self._file(request, request.match_info["revision"], request.match_info["path"])

    async def _file(self, request: web.Request, revision: str | None, path: str) -> web.StreamResponse:
        await self._newest(request)
        listing = await self._at(request, revision)
        if listing is None:
            raise refusal(404, NO_TREE, "no file tree at this revision")
        blob = await self._library.blob(listing, path)
        if blob is None:
            raise refusal(404, NO_FILE, "获取模型文件失败，文件内容为空")
        if blob.lfs and request.method != hdrs.METH_HEAD:  # HEAD was never seen to redirect
            return web.Response(status=302, headers={hdrs.LOCATION: self._signed(request, blob, listing)})
        return gateway(request, blob)

    def _signed(self, request: web.Request, blob: Blob, listing: Listing) -> str:
        named = {
            "filename": blob.path,
            "namespace": listing.repo.owner,
            "repository": listing.repo.name,
            "revision": listing.commit,
            "tag": "model",
        }
        query = urlencode(named | self._signer.modelscope_query(blob.sha256), quote_via=quote)
        return f"{request.url.origin()}/lfs/{blob.sha256}?{query}"

    async def _newest(self, request: web.Request) -> Listing:
        repo = await self._library.find(request.match_info["owner"], request.match_info["name"])
        listing = await self._library.listing(repo) if repo else None
        if listing is None:
            raise refusal(404, NO_REPO, "record not found")
        return listing

    async def _at(self, request: web.Request, revision: str | None) -> Listing | None:
        repo = await self._library.find(request.match_info["owner"], request.match_info["name"])
        if repo is None or not (revision in (None, "", DEFAULT_BRANCH) or SHA1_HEX.fullmatch(revision or "")):
            return None
        return await self._library.listing(repo, None if revision in (None, "", DEFAULT_BRANCH) else revision)


def gateway(request: web.Request, blob: Blob) -> web.StreamResponse:
    """The bytes as the gateway sends them: 200 always, Content-Range for a bounded range, an open one ignored."""
    headers = {"X-Request-Id": str(uuid4())}
    asked = request.headers.get(hdrs.RANGE, "").replace(" ", "")
    if not _BOUNDED.fullmatch(asked):
        return FileBody(blob, Span(0, blob.size), status=200, headers=headers)
    try:
        span = parse_range(asked, blob.size)
    except UnsatisfiableRangeError:
        return web.Response(status=416, headers={hdrs.CONTENT_RANGE: f"bytes */{blob.size}"})
    if span is None:
        return FileBody(blob, Span(0, blob.size), status=200, headers=headers)
    return FileBody(blob, span, status=200, headers=headers | content_range(span, blob.size))


def envelope(data: Any) -> web.Response:
    """A success as this hub wraps it."""
    said = {"Code": 200, "Data": data, "Message": "success", "RequestId": str(uuid4()), "Success": True}
    return web.json_response(said)


def refusal(status: int, code: int, message: str) -> web.HTTPException:
    """An error in this hub's dialect: what counts is the envelope's code."""
    said = {"Code": code, "Data": None, "Message": message, "RequestId": str(uuid4()), "Success": False}
    kind = web.HTTPForbidden if status == 403 else web.HTTPNotFound
    return kind(text=json.dumps(said), content_type="application/json")


def _row(entry: Entry, listing: Listing) -> dict[str, Any]:
    is_blob = isinstance(entry, Blob)
    sha256 = entry.sha256 if isinstance(entry, Blob) else ""
    touched = hashlib.sha1(f"{entry.path} {sha256}".encode(), usedforsecurity=False).hexdigest()
    return {
        "Path": entry.path,
        "Name": entry.path.rpartition("/")[2],
        "Type": "blob" if is_blob else "tree",
        "Size": entry.size if isinstance(entry, Blob) else 0,
        "Sha256": sha256,
        "Revision": touched,  # the commit that last touched the file, not the snapshot's
        "IsLFS": isinstance(entry, Blob) and entry.lfs,
        "CommittedDate": int(listing.modified),
        "CommitMessage": "embedded hub",
        "CommitterName": "embedded",
        "InCheck": False,
        "Mode": "33188" if is_blob else "16384",
    }
