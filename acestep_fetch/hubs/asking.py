"""Asking a hub's API with patience: a few tries, jittered pauses, the server's own wait, and one deadline for all.

A listing is a handful of requests; they share one `Conversation`, so that the whole listing is bounded, not only
each of its requests. huggingface_hub has no bound there at all and was seen to hang for good.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import Api, ApiReply
from acestep_fetch.core.liveness import LIST_PATIENCE
from acestep_fetch.core.retry import TRANSIENT, backoff

Judge = Callable[[ApiReply], SourceError | None]
"""What makes a reply worth asking again; None where the reply is an answer, good or bad."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How hard a hub tries. Clock, chance and sleep are here so that tests bring their own."""

    attempts: int = 5
    total: float = LIST_PATIENCE  # seconds for a whole listing
    request: float = 15.0  # seconds for one request
    longest_wait: float = 30.0  # a server that asks for more is given up at once: the other hub is faster
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time  # seconds since the epoch


class Conversation:
    """The requests of one listing, within one deadline."""

    def __init__(self, api: Api, patience: Patience, judge: Judge, title: str) -> None:
        self._api, self._patience, self._judge, self._title = api, patience, judge, title
        self._until = patience.clock() + patience.total
        self._log = list[str]()

    async def ask(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
    ) -> ApiReply:
        """The first reply that is an answer. Raises `SourceError`, whose `attempts` tell what was tried."""
        most = max(1, self._patience.attempts if attempts is None else min(attempts, self._patience.attempts))
        for attempt in range(1, most + 1):
            failure = await self._try(url, params, headers)
            if isinstance(failure, ApiReply):
                return failure
            self._log.append(failure.message)
            pause = failure.retry_after
            if pause is None:
                pause = backoff(attempt, self._patience.jitter())
            if attempt == most or not self._worth_waiting(failure, pause):
                failure.attempts = tuple(self._log)
                raise failure
            await self._patience.sleep(pause)
        raise AssertionError("a conversation makes at least one attempt")

    async def _try(
        self, url: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> ApiReply | SourceError:
        left = self._until - self._patience.clock()
        if left <= 0:
            return SourceError(Failure.STALLED, f"{self._title}: no list within {self._patience.total:g} s")
        try:
            reply = await self._api.get(url, params=params, headers=headers, timeout=min(left, self._patience.request))
        except SourceError as exc:
            return exc
        return self._judge(reply) or reply

    def _worth_waiting(self, failure: SourceError, pause: float) -> bool:
        left = self._until - self._patience.clock()
        return failure.failure in TRANSIENT and pause <= self._patience.longest_wait and pause < left


def path_of(url: str) -> str:
    """What a message may say about an API's URL: the path, without the query."""
    return urlsplit(url).path
