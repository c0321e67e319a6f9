"""The race of three small requests that decides which hub comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from acestep_fetch.core.choice import Answers, Choice, at_deadline, choose, only
from acestep_fetch.core.errors import SourceError
from acestep_fetch.core.events import SourceProbed, SourcesChosen
from acestep_fetch.core.interfaces import Api, Hub
from acestep_fetch.core.model import RepoId
from acestep_fetch.engine.context import Context


async def race(hubs: Sequence[Hub], api: Api, repo: RepoId, context: Context) -> tuple[Choice, Answers]:
    """Asks all at once and returns as soon as the answer cannot change, at the latest at the deadline. Where there is
    one hub, there is nothing to choose, and nobody is asked."""
    options = context.options
    answers = Answers(hubs=dict.fromkeys(hub.name for hub in hubs))
    if len(hubs) == 1:
        alone = only(hubs[0].name)
        context.emit(SourcesChosen(alone.order, alone.why))
        return alone, answers
    began = context.clock()
    tasks: dict[asyncio.Task[bool], Hub | None] = {}
    async with asyncio.TaskGroup() as group:
        if options.prefer is None:
            tasks[group.create_task(_google(api, context))] = None
        for hub in hubs:
            tasks[group.create_task(_hub(hub, repo, context))] = hub
        choice = choose(answers, options.prefer)
        while choice is None and (left := options.probe_deadline - (context.clock() - began)) > 0:
            done, _ = await asyncio.wait(
                [task for task in tasks if not task.done()], timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                answers = _with(answers, tasks[task], answer=task.result())
            choice = choose(answers, options.prefer)
        for task in tasks:
            task.cancel()
    found = choice or at_deadline(answers, options.prefer)
    context.emit(SourcesChosen(found.order, found.why))
    return found, answers


def _with(answers: Answers, hub: Hub | None, *, answer: bool) -> Answers:
    if hub is None:
        return replace(answers, google=answer)
    return replace(answers, hubs={**(answers.hubs or {}), hub.name: answer})


async def _google(api: Api, context: Context) -> bool:
    url, began = context.options.probe_url, context.clock()
    try:
        status = (await api.get(url, timeout=context.options.probe_deadline)).status
        ok, detail = status < 400, str(status)
    except SourceError as error:
        ok, detail = False, error.message
    context.emit(SourceProbed("google", ok, context.clock() - began, detail, _origin(url)))
    return ok


async def _hub(hub: Hub, repo: RepoId, context: Context) -> bool:
    began = context.clock()
    try:
        status = await hub.probe(repo, context.options.probe_deadline)
        ok, detail = status < 500, str(status)
    except SourceError as error:
        ok, detail = False, error.message
    context.emit(SourceProbed(hub.name, ok, context.clock() - began, detail, _origin(hub.endpoint)))
    return ok


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
