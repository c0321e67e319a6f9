"""What a hub does with the secrets that it is given: it repeats them, hands them on, and refuses them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import hdrs, web

from tests.corpus.lies import Listed, Names, Rows
from tests.secrets.marks import COOKIE, SIGNATURE
from tests.support.faults import Action
from tests.support.relay import Relay

CREDENTIALS = (hdrs.AUTHORIZATION, hdrs.COOKIE, hdrs.PROXY_AUTHORIZATION)


def credentials(request: web.Request) -> str:
    """All that a request was trusted with, as the hub could write it down."""
    return " ".join(f"{name}: {request.headers[name]}" for name in CREDENTIALS if name in request.headers)


@dataclass(frozen=True)
class Echo(Action):
    """Refuses, and repeats the credentials in the body, in headers of the hubs' own and in a cookie."""

    status: int
    code: int | None = None  # of ModelScope's envelope
    only_with_token: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        said = credentials(request)
        if self.only_with_token and hdrs.AUTHORIZATION not in request.headers:
            return None
        text = f"Invalid credentials in Authorization header {said} at {request.raw_path}"
        body: dict[str, object] = {"error": text, "Message": text, "RequestId": said}
        if self.code is not None:
            body |= {"Code": self.code, "Data": None, "Success": False}
        headers = {
            "X-Error-Message": text,
            "X-Request-Id": said or "-",
            "Set-Cookie": f"session={COOKIE.text}; Path=/; note={said}",
            "WWW-Authenticate": f'Bearer realm="{quote(said)}"',
            "Retry-After": said if self.status == 400 else "0",
            **self.fields,
        }
        return web.Response(
            status=self.status, body=json.dumps(body).encode(), content_type="application/json", headers=headers
        )


@dataclass(frozen=True)
class BareRefusal(Action):
    """401 for whoever has a token, without a word why."""

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=401) if hdrs.AUTHORIZATION in request.headers else None


@dataclass(frozen=True)
class Private(Action):
    """What a stranger must not see is not there for him."""

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        if hdrs.AUTHORIZATION in request.headers:
            return None
        return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Not found"})


@dataclass(frozen=True)
class Hand(Action):
    """Redirects to `target`: ``{signed}`` stands for a signed query, ``{said}`` for the credentials of the request,
    ``{path}`` and ``{file}`` for what was asked. What comes back with ``back=`` is left to the hub."""

    target: str
    status: int = 302

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        if "back" in request.query or "resolve-cache" in request.path:
            return None
        signed = f"Expires=4102444800&X-Amz-Signature={quote(SIGNATURE.text)}&Key-Pair-Id={SIGNATURE.core}"
        file = request.query.get("FilePath") or request.path.rpartition("/")[2]
        target = self.target.format(signed=signed, said=quote(credentials(request)), path=request.path, file=file)
        cookie = f"session={COOKIE.text}; Path=/; Domain=127.0.0.1"
        return web.Response(status=self.status, headers={hdrs.LOCATION: target, hdrs.SET_COOKIE: cookie})


@dataclass(frozen=True)
class Reflect(Action):
    """The hub's own answer, with the credentials in its headers; one of them is not even a cookie."""

    def reshape(self, request: web.Request, relay: Relay) -> None:
        said = credentials(request)
        relay.headers["X-Echo"] = said or "-"
        relay.headers["Content-Disposition"] = f'attachment; filename="{said}"'
        relay.headers.add(hdrs.SET_COOKIE, f"session={COOKIE.text}; Path=/; echo={said}")
        relay.headers.add(hdrs.SET_COOKIE, f"bad cookie {COOKIE.text}, {said}")


@dataclass(frozen=True)
class ListsItself(Action):
    """The list names a file as the request's token, beside the others."""

    def reshape(self, request: web.Request, relay: Relay) -> None:
        token = request.headers.get(hdrs.AUTHORIZATION, "").removeprefix("Bearer ")

        def add(rows: Rows, names: Names) -> Rows:
            return [*rows, {**rows[-1], names.path: f"{token}.txt"}]

        Listed(add).reshape(request, relay)
