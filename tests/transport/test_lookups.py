"""Name lookups that nobody has to wait for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from acestep_fetch.transport.lookups import run_async


@pytest.fixture
def asked() -> list[str]:
    """The names that the resolver was asked for."""
    return []


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> threading.Event:
    """A resolver that answers when it is told to; ``known.example`` it knows at once."""
    release, real = threading.Event(), socket.getaddrinfo

    def look_up(host: str, *more: object) -> object:
        asked.append(host)
        if host == "known.example":
            return real("127.0.0.1", *more)  # type: ignore[arg-type]
        release.wait(20)
        return real("127.0.0.1", *more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return release


def test_a_lookup_that_does_not_end_holds_up_neither_others_nor_the_end(blocked: threading.Event) -> None:
    async def main() -> object:
        loop = asyncio.get_running_loop()
        lost = [asyncio.create_task(loop.getaddrinfo(f"{n}.example", 80)) for n in range(40)]
        await asyncio.sleep(0.05)
        found = await loop.getaddrinfo("known.example", 80, type=socket.SOCK_STREAM)
        for task in lost:
            task.cancel()
        return found

    began = time.monotonic()
    assert run_async(main())[0][4] == ("127.0.0.1", 80)  # type: ignore[index]
    assert time.monotonic() - began < 5
    blocked.set()


def test_who_asks_the_same_shares_the_answer(blocked: threading.Event, asked: list[str]) -> None:
    async def main() -> tuple[object, ...]:
        loop = asyncio.get_running_loop()
        first, second = (asyncio.create_task(loop.getaddrinfo("a.example", 80)) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()  # which is nothing to the second
        blocked.set()
        return first, await second

    first, second = run_async(main())
    assert asked == ["a.example"]
    assert isinstance(first, asyncio.Task)
    assert first.cancelled()
    assert second


def test_what_the_resolver_says_is_what_is_raised() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().getaddrinfo("no name at all.invalid", 80)

    with pytest.raises(socket.gaierror):
        run_async(main())
    with pytest.raises(UnicodeError):
        run_async(_too_long())


async def _too_long() -> None:
    await asyncio.get_running_loop().getaddrinfo("x" * 70 + ".example", 80)
