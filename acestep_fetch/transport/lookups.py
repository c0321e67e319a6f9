"""An event loop whose name lookups hold up nobody.

A resolver that does not answer keeps ``getaddrinfo`` busy for ten seconds and longer, and nothing can interrupt it. In
asyncio's pool it would keep the few threads from others meanwhile, and a run that has ended, or was stopped, from
leaving. So each lookup has a thread that nobody waits for, and those who ask the same share it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

if sys.platform == "win32":
    _Usual = asyncio.ProactorEventLoop
else:
    _Usual = asyncio.SelectorEventLoop


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


class Loop(_Usual):
    def __init__(self) -> None:
        super().__init__()
        self._lookups = dict[tuple[Any, ...], asyncio.Future[Any]]()

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's name for it
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        question = (host, port, family, type, proto, flags)
        found = self._lookups.get(question)
        if found is None:
            found = self._lookups[question] = self.create_future()
            found.add_done_callback(lambda done: self._forget(question, done))
            threading.Thread(target=self._look_up, args=(question, found), name="lookup", daemon=True).start()
        return await asyncio.shield(found)

    def _forget(self, question: tuple[Any, ...], done: asyncio.Future[Any]) -> None:
        del self._lookups[question]
        if not done.cancelled():
            done.exception()  # whoever asked may have gone

    def _look_up(self, question: tuple[Any, ...], found: asyncio.Future[Any]) -> None:
        try:
            answer, error = socket.getaddrinfo(*question), None
        except Exception as exc:  # UnicodeError too: it belongs to whoever asked
            answer, error = [], exc
        with suppress(RuntimeError):  # the loop is closed
            self.call_soon_threadsafe(_tell, found, answer, error)


def _tell(found: asyncio.Future[Any], answer: list[Any], error: Exception | None) -> None:
    if found.done():
        return
    if error:
        found.set_exception(error)
    else:
        found.set_result(answer)
