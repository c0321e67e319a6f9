"""`transport.api` on real sockets, and what it makes of every exception of httpx."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import httpx
import pytest

from acestep_fetch import __version__
from acestep_fetch.core.errors import Failure, SourceError, UsageError
from acestep_fetch.transport.api import HttpxApi, meaning, place
from tests.hubs.scripted import Answer, ScriptedServer


def _leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _leaves(child)


RAISED = sorted({*_leaves(httpx.HTTPError), httpx.InvalidURL}, key=lambda kind: kind.__name__)


class Raising(httpx.AsyncBaseTransport):
    def __init__(self, exc: Exception) -> None:
        self.exc = exc

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.exc


@pytest.mark.parametrize("kind", [*RAISED, TimeoutError, ConnectionResetError, OSError], ids=lambda kind: kind.__name__)
async def test_every_exception_is_translated(kind: type[Exception]) -> None:
    exc = kind.__new__(kind)
    Exception.__init__(exc, "b'Bearer hf_secret'")
    async with HttpxApi(http=Raising(exc)) as api:
        with pytest.raises(SourceError) as caught:
            await api.get("https://hub.example/api?cursor=secret")
    if not issubclass(kind, httpx.ConnectError):
        assert "secret" not in caught.value.message
    assert caught.value.message.startswith("hub.example/api: ")
    timeouts = (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError)
    assert (caught.value.failure is Failure.STALLED) == (issubclass(kind, timeouts) or kind is httpx.TimeoutException)


def test_a_bug_is_not_a_network_fault() -> None:
    with pytest.raises(TypeError):
        meaning(ValueError("a bug"))


async def test_a_whole_reply(api: HttpxApi, server: ScriptedServer) -> None:
    server.on("/a", Answer(404, gzip.compress(b"hello"), {"X-Error-Code": "E", "Content-Encoding": "gzip"}))
    reply = await api.get(server.origin + "/a", params={"Root": "a b"}, headers={"Authorization": "Bearer t"})
    assert (reply.status, reply.body, reply.headers["x-error-code"]) == (404, b"hello", "E")
    asked = server.asked[0]
    assert (asked.query, asked.headers["authorization"]) == ({"Root": "a b"}, "Bearer t")
    assert asked.headers["user-agent"] == f"acestep-fetch/{__version__}"


async def test_no_cookie_is_kept(api: HttpxApi, server: ScriptedServer) -> None:
    server.on("/a", Answer(200, b"", {"Set-Cookie": "m_session_id=theirs"}))
    await api.get(server.origin + "/a")
    await api.get(server.origin + "/a", headers={"Cookie": "m_session_id=ours"})
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, "m_session_id=ours"]


SECRETS = {"Authorization": "Bearer t", "cookie": "c=1", "X-Other": "kept"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_origin_keeps_the_token(api: HttpxApi, server: ScriptedServer, status: int) -> None:
    server.on("/a", Answer(status, b"", {"Location": "/b?x=1"}))
    server.on("/b", Answer(200, b"there"))
    reply = await api.get(server.origin + "/a", headers=SECRETS)
    assert (reply.body, reply.url) == (b"there", server.origin + "/b?x=1")
    assert (server.asked[1].headers["authorization"], server.asked[1].headers["cookie"]) == ("Bearer t", "c=1")


async def test_another_origin_never_sees_the_token(
    api: HttpxApi, server: ScriptedServer, other: ScriptedServer
) -> None:
    server.on("/a", Answer(308, b"", {"Location": other.origin.replace("//", "//user:pass@") + "/b"}))
    other.on("/b", Answer(302, b"", {"Location": server.origin + "/c"}))
    server.on("/c", Answer(200))
    await api.get(server.origin + "/a", headers=SECRETS)
    for asked in (other.asked[0], server.asked[1]):
        assert not {"authorization", "cookie"} & set(asked.headers)
        assert asked.headers["x-other"] == "kept"


@pytest.mark.parametrize("target", ["http://hub.example/b", "ftp://hub.example/b", "file:///etc/passwd", "http://[bad"])
async def test_an_unsafe_redirect_is_refused(target: str) -> None:
    http = httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": target}))
    async with HttpxApi(http=http) as api:
        with pytest.raises(SourceError) as caught:
            await api.get("https://hub.example/a")
    assert caught.value.failure is Failure.WRONG_REPLY


async def test_redirects_have_an_end(api: HttpxApi, server: ScriptedServer) -> None:
    server.on("/a", Answer(302, b"", {"Location": "/a"}))
    with pytest.raises(SourceError, match="more than 10 redirects"):
        await api.get(server.origin + "/a")
    assert len(server.asked) == 11


@pytest.mark.parametrize("answer", [Answer(304), Answer(302), Answer(300, b"", {"Location": "/b"})])
async def test_what_is_no_redirect_is_a_reply(api: HttpxApi, server: ScriptedServer, answer: Answer) -> None:
    server.on("/a", answer)
    assert (await api.get(server.origin + "/a")).status == answer.status


async def test_a_body_above_the_limit(server: ScriptedServer) -> None:
    server.on("/a", Answer(200, gzip.compress(b"0" * 1001), {"Content-Encoding": "gzip"}))
    server.on("/b", Answer(200, b"0" * 1000))
    async with HttpxApi(largest_body=1000) as api:
        with pytest.raises(SourceError, match="longer than 1000 bytes") as caught:
            await api.get(server.origin + "/a?x=secret")
        assert caught.value.failure is Failure.WRONG_REPLY
        assert "secret" not in caught.value.message
        assert len((await api.get(server.origin + "/b")).body) == 1000


async def test_the_deadline_is_for_the_whole(api: HttpxApi, server: ScriptedServer) -> None:
    server.on("/a", Answer(hang=True))
    with pytest.raises(SourceError) as caught:
        await api.get(server.origin + "/a", timeout=0.1)
    assert caught.value.failure is Failure.STALLED


async def test_nobody_there(api: HttpxApi) -> None:
    with pytest.raises(SourceError) as caught:
        await api.get("http://127.0.0.1:9/a?x=secret")
    assert caught.value.failure is Failure.UNREACHABLE
    assert "secret" not in caught.value.message


async def test_loopback_goes_around_the_proxy_and_others_do_not(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.origin)
    for name in ("http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.on("/direct", Answer(200, b"direct"))
    server.on("http://hub.example/x", Answer(200, b"by proxy"))
    async with HttpxApi() as api:
        assert (await api.get(server.origin + "/direct")).body == b"direct"
        assert (await api.get("http://hub.example/x")).body == b"by proxy"


@pytest.mark.parametrize("proxy", ["socks9://x", "http://h:x"])
async def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UsageError, match="proxy"):
        await HttpxApi().__aenter__()


async def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", __file__)
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        await HttpxApi().__aenter__()


def test_places() -> None:
    assert place("https://me:secret@h:8/a/b?c=d#e") == "h:8/a/b"
    assert place("http://h:x/?secret") == "an address"
