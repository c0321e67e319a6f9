"""Runs through real proxy programs: nobody is asked directly, and what goes wrong is said to be the proxy's."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from acestep_fetch.core.errors import NetworkError
from acestep_fetch.core.model import HubName
from acestep_fetch.transport import intake
from tests.plumbing.programs import SOURCE, USER, Program, dante, free_port, microsocks, tinyproxy
from tests.plumbing.world import CONTENT_HOST, FILES, HF_HOST, World, server_context, world
from tests.support.faults import Rule, Throttle
from tests.support.recorder import Kind

Start = Callable[..., AbstractContextManager[Program]]


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each `Intake` was to bring."""
    found, begin = list[int](), intake.Intake.__init__

    def noted(self: intake.Intake, reply: object, transport: object, left: int) -> None:
        found.append(left)
        begin(self, reply, transport, left)  # type: ignore[arg-type]

    monkeypatch.setattr(intake.Intake, "__init__", noted)
    return found


def _right(run: World, proxy: Program, taken_over: list[int]) -> None:
    assert run.is_whole()
    assert run.peers() == {SOURCE}, "asked directly"
    assert CONTENT_HOST in run.hosts_asked()
    assert {Kind.API, Kind.RESOLVER, Kind.CONTENT} <= run.kinds()
    assert sum(taken_over) > FILES["model.safetensors"] / 2, "read past the program's own intake"
    assert not proxy.password or proxy.password not in "".join(run.events)


WAYS = [
    (tinyproxy, "HTTP_PROXY", "http"),
    (tinyproxy, "http_proxy", "http"),
    (tinyproxy, "HTTPS_PROXY", "https"),
    (tinyproxy, "https_proxy", "https"),
    (tinyproxy, "ALL_PROXY", "https"),
    (microsocks, "ALL_PROXY", "http"),
    (microsocks, "all_proxy", "https"),
    (microsocks, "https_proxy", "https"),
]


@pytest.mark.parametrize("login", [False, True], ids=["open", "login"])
@pytest.mark.parametrize(("start", "variable", "scheme"), WAYS, ids=lambda way: getattr(way, "__name__", way))
async def test_everything_goes_through_the_proxy(
    start: Start,
    variable: str,
    scheme: str,
    login: bool,
    ca: trustme.CA,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    taken_over: list[int],
) -> None:
    with start(tmp_path, login=login) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        async with world(tmp_path, tls=server_context(ca) if scheme == "https" else None) as run:
            report = await run.fetch(ca_bundle=bundle)
            assert report.exit_code == 0, report.error
            _right(run, proxy, taken_over)


@pytest.mark.parametrize("scheme", ["socks", "socks5", "socks5h", ""])
async def test_however_the_scheme_is_written(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: list[int]
) -> None:
    with (microsocks if scheme else tinyproxy)(tmp_path) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy.place}/" if scheme else proxy.place)
        async with world(tmp_path) as run:
            report = await run.fetch()
            assert report.exit_code == 0, report.error
            _right(run, proxy, taken_over)


async def test_another_socks_program(
    ca: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: list[int]
) -> None:
    with dante(tmp_path) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with world(tmp_path, tls=server_context(ca)) as run:
            report = await run.fetch(ca_bundle=bundle)
            assert report.exit_code == 0, report.error
            _right(run, proxy, taken_over)
            assert HF_HOST in proxy.said


async def test_a_proxy_behind_tls(
    ca: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: list[int]
) -> None:
    """TLS in TLS: to the proxy, and through it to the hub."""
    with tinyproxy(tmp_path, login=True) as proxy:
        async with _secured(proxy, server_context(ca, "127.0.0.5")) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"https://{USER}:{proxy.password}@127.0.0.5:{port}")
            async with world(tmp_path, tls=server_context(ca)) as run:
                report = await run.fetch(ca_bundle=bundle)
                assert report.exit_code == 0, report.error
                _right(run, proxy, taken_over)


@asynccontextmanager
async def _secured(proxy: Program, context: ssl.SSLContext) -> AsyncIterator[int]:
    """TLS in front of a proxy that has none."""
    tasks = set[asyncio.Task[None]]()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        finally:
            for each in (writer, inner_writer):
                each.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.5", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_no_proxy_names_is_asked_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tinyproxy(tmp_path) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with world(tmp_path) as run:
            port = run.hubs[HubName.MODELSCOPE].port
            monkeypatch.setenv("NO_PROXY", f"example.org, 127.0.0.3:{port}")
            report = await run.fetch()
            assert report.exit_code == 0, report.error
            assert run.is_whole()
            assert run.peers(HubName.HUGGINGFACE) == {SOURCE}
            assert SOURCE not in {
                entry.peer[0]
                for entry in run.hubs[HubName.MODELSCOPE].recorder.entries
                if entry.headers["host"].startswith("127.0.0.3")
            }


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("start", [tinyproxy, microsocks], ids=lambda start: start.__name__)
@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("anna:wr0ng-pass", "does not accept the user and password"),
        ("otto:wr0ng-pass", "does not accept the user and password"),
        ("", "wants a user and a password"),
    ],
    ids=["password", "user", "none"],
)
async def test_a_wrong_login_is_one_clear_error(
    start: Start,
    login: str,
    said: str,
    scheme: str,
    ca: trustme.CA,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if start is tinyproxy and login and scheme == "http":
        pytest.skip("tinyproxy answers 401 as the hub itself would, so nobody can tell who it was")
    with start(tmp_path, login=True) as proxy:
        monkeypatch.setenv("all_proxy", proxy.with_login(login))
        async with world(tmp_path, tls=server_context(ca) if scheme == "https" else None) as run:
            began = time.monotonic()
            report = await run.fetch(ca_bundle=bundle)
            assert time.monotonic() - began < 3, "was tried again and again"
            assert report.exit_code == 5
            assert isinstance(report.error, NetworkError)
            assert all(f"the proxy {proxy.place} {said}" in attempt for attempt in report.error.attempts)
            assert f"USER:PASSWORD@{proxy.place}" in (report.error.hint or "")
            assert "wr0ng" not in "".join([*run.events, str(report)])
            assert not run.peers()


async def test_a_proxy_that_refuses_to_connect(
    ca: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tinyproxy(tmp_path, settings="ConnectPort 443") as proxy:  # no other: 403
        monkeypatch.setenv("https_proxy", proxy.url)
        async with world(tmp_path, tls=server_context(ca)) as run:
            began = time.monotonic()
            report = await run.fetch(ca_bundle=bundle)
            assert time.monotonic() - began < 3
            assert report.exit_code == 5
            assert isinstance(report.error, NetworkError)
            assert f"the proxy {proxy.place} refuses to connect to {HF_HOST} (status 403)" in report.error.attempts
            assert "NO_PROXY" in (report.error.hint or "")


@pytest.mark.parametrize("start", [tinyproxy, dante], ids=lambda start: start.__name__)
async def test_a_proxy_that_refuses_the_content_network_only(
    start: Start, ca: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = f"socks block {{ from: 127.0.0.0/8 to: {CONTENT_HOST}/32 log: connect }}"
    (tmp_path / "filter").write_text(f"^{CONTENT_HOST}$\n".replace(".", r"\."))
    more = {"rules": block} if start is dante else {"settings": f'Filter "{tmp_path / "filter"}"'}
    with start(tmp_path, **more) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with world(tmp_path, tls=server_context(ca)) as run:
            began = time.monotonic()
            report = await run.fetch(ca_bundle=bundle)
            assert time.monotonic() - began < 4
            assert report.exit_code == 5, report.error
            assert report.error is not None
            assert f"the proxy {proxy.place} refuses to connect to {CONTENT_HOST}" in report.error.message
            assert "NO_PROXY" in (report.error.hint or "")


@pytest.mark.parametrize("scheme", ["http", pytest.param("socks5", marks=pytest.mark.long)])
async def test_a_proxy_that_is_down(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://anna:s3cret@{place}")
    async with world(tmp_path) as run:
        report = await run.fetch()
        assert report.exit_code == 5
        assert report.error is not None
        assert f"the proxy {place} cannot be reached: Connection refused" in report.error.attempts
        assert "is it running?" in (report.error.hint or "")
        assert "s3cret" not in "".join([*run.events, str(report)])
        assert not run.peers()


@pytest.mark.parametrize(
    ("start", "comes_back"),
    [
        pytest.param(tinyproxy, True, id="http, comes back"),
        pytest.param(microsocks, True, id="socks, comes back"),
        pytest.param(microsocks, False, id="socks, stays away"),
        pytest.param(tinyproxy, False, id="http, stays away", marks=pytest.mark.long),
    ],
)
async def test_a_proxy_that_dies_in_the_middle(
    start: Start, comes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(tmp_path) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with world(tmp_path, faults=[Rule(Throttle(500_000), method=None)]) as run:
            fetching = asyncio.create_task(run.fetch(give_up_after=2.0 if not comes_back else 20.0))
            while sum(hub.recorder.bytes_sent for hub in run.hubs.values()) < 2_000_000:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(proxy.kill)
            if comes_back:
                await asyncio.sleep(0.5)
                for hub in run.hubs.values():
                    hub.faults.rules[:] = [rule for rule in hub.faults.rules if not isinstance(rule.action, Throttle)]
                await asyncio.to_thread(proxy.start)
            report = await fetching
            assert run.peers() == {SOURCE}
            if comes_back:
                assert report.exit_code == 0, report.error
                assert run.is_whole()
            else:
                assert report.exit_code == 5
                assert report.error is not None
                assert any(f"the proxy {proxy.place} cannot be reached" in t for t in report.error.attempts), (
                    report.error
                )


@pytest.mark.parametrize(
    "scheme",
    [
        pytest.param("http", marks=pytest.mark.long),  # its silence may be the hub's: a list is waited for for 60 s
        "https",  # its answers have a connection's deadline
        "socks5",
    ],
)
async def test_a_proxy_that_says_nothing(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        monkeypatch.setenv("ALL_PROXY", f"{'http' if scheme == 'https' else scheme}://127.0.0.1:{port}")
        secured = {"huggingface_endpoint": "https://127.0.0.2:1", "modelscope_endpoint": "https://127.0.0.3:1"}
        async with world(tmp_path) as run:
            report = await asyncio.wait_for(
                run.fetch(connect_timeout=0.3, **(secured if scheme == "https" else {})), 100
            )
            assert report.exit_code == 5
            assert report.error is not None
            said = f"by the proxy 127.0.0.1:{port}"
            assert all(said in attempt or "no list within" in attempt for attempt in report.error.attempts)
            assert any(said in attempt for attempt in report.error.attempts)
            assert "does the proxy work" in (report.error.hint or "")
            assert scheme == "http" or report.seconds < 30
            assert not run.peers()
    finally:
        server.close()


@pytest.mark.parametrize("start", [tinyproxy, microsocks], ids=lambda start: start.__name__)
async def test_a_hub_that_the_proxy_cannot_reach_is_left_for_the_other(
    start: Start, ca: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(tmp_path) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with world(tmp_path, tls=server_context(ca)) as run:
            report = await run.fetch(huggingface_endpoint=f"https://{HF_HOST}:{free_port()}", ca_bundle=bundle)
            assert report.exit_code == 0, report.error
            assert run.is_whole()
            assert run.peers() == {SOURCE}
            assert f"the proxy {proxy.place} cannot reach {HF_HOST}" in "".join(run.events)
