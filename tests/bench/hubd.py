"""One hub as a process: ``python -m tests.bench.hubd ROOT HUB REPO [--port N] [--content URL]``.

It says ``ready`` and its port once everything is hashed. Each line on its standard input is a command, and is answered
by one line of JSON: ``clear`` forgets what was recorded, ``dump`` tells it. It ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from acestep_fetch.core.model import HubName
from tests.support.hub import ServedHub, Setup
from tests.support.recorder import Entry, Kind, Recorder

_LISTINGS = {
    HubName.HUGGINGFACE: "/api/models/{}/revision/main",
    HubName.MODELSCOPE: "/api/v1/models/{}/repo/files?Recursive=true",
}


class Hub(ServedHub):
    """With `content`, the bytes behind signed addresses come from there: ``{content}/{sha256}``."""

    def __init__(self, setup: Setup, content: str | None) -> None:
        self._content = content
        super().__init__(setup)

    def _app(self) -> web.Application:
        app = super()._app()
        app.on_response_prepare.append(self._point_elsewhere)
        return app

    async def _point_elsewhere(self, request: web.Request, response: web.StreamResponse) -> None:
        there, _, query = response.headers.get(hdrs.LOCATION, "").partition("?")
        if self._content and "/lfs/" in there:
            response.headers[hdrs.LOCATION] = f"{self._content}/{there.rpartition('/')[2]}?{query}"


def counters(recorder: Recorder, cpu: float, now: float) -> dict[str, Any]:
    """What was recorded, as plain data; times are this machine's monotonic clock."""
    carrying = [entry for entry in recorder.entries if entry.kind is not Kind.API and entry.status in (200, 206)]
    return {
        "served": sum(entry.sent for entry in carrying),
        "requests": {kind.value: count for kind, count in recorder.counts().items()},
        "statuses": Counter(str(entry.status) for entry in recorder.entries),
        "methods": Counter(entry.asked.method for entry in recorder.entries),
        "connections": _intervals(recorder.entries, now),
        "last_byte": max((entry.at + (entry.seconds or 0.0) for entry in carrying), default=None),
        "wall_offset": time.time() - time.monotonic(),
        "cpu": cpu,
    }


def _intervals(entries: list[Entry], now: float) -> list[tuple[float, float]]:
    """From when to when each connection was in use: its first request, the end of its last reply."""
    found = dict[tuple[str, int], tuple[float, float]]()
    for entry in entries:
        end = now if entry.seconds is None else entry.at + entry.seconds
        first, last = found.get(entry.peer, (entry.at, end))
        found[entry.peer] = (min(first, entry.at), max(last, end))
    return list(found.values())


async def serve(root: Path, name: HubName, repo: str, port: int, content: str | None) -> None:
    hub = Hub(Setup(root, hub=name, host="0.0.0.0", port=port, rescan_after=1e9), content)
    await hub.start()
    try:
        listing = f"http://127.0.0.1:{hub.port}{_LISTINGS[name].format(repo)}"
        await asyncio.to_thread(lambda: urllib.request.urlopen(listing).read())
        _say({"port": hub.port})
        began = time.process_time()
        async for command in _commands():
            if command == "clear":
                hub.recorder.clear()
                began = time.process_time()
                _say({})
            elif command == "dump":
                _say(counters(hub.recorder, time.process_time() - began, time.monotonic()))
    finally:
        await hub.stop()


async def _commands() -> Any:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        yield line.decode().strip()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("hub", type=HubName)
    parser.add_argument("repo")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--content")
    args = parser.parse_args()
    asyncio.run(serve(args.root, args.hub, args.repo, args.port, args.content))
