"""``python -m tests.bench.limited FOLDER REPO RATE SECONDS``: fetches under a limit, and says as one line of JSON what
came in each window of 1 s, as shares of the limit. It stops after so many seconds, if the end has not come before."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from acestep_fetch.api import fetch_async
from acestep_fetch.core.events import BytesCompared, BytesReceived, Event
from acestep_fetch.options import Options
from tests.bench.figures import windowed


async def measured(folder: Path, repo: str, rate: int, seconds: float) -> dict[str, float]:
    clock, came, hubs = asyncio.get_running_loop().time, list[tuple[float, int]](), Counter[str]()

    def listen(event: Event) -> None:
        if isinstance(event, BytesReceived | BytesCompared):
            came.append((clock(), event.count))
            hubs[event.source] += event.count

    options = Options.from_environment(directory=folder, models=(repo,), skip_main=True, limit_rate=rate)
    try:
        async with asyncio.timeout(seconds):
            await fetch_async(options, listen)
    except TimeoutError:
        pass
    shares = sorted(each / rate for each in windowed(came, skip=0.5))
    count = len(shares)
    return {
        "windows": count,
        "least": shares[0],
        "low": shares[count // 100],
        "mean": sum(shares) / count,
        "high": shares[-1 - count // 100],
        "most": shares[-1],
        "hubs": len(hubs),
    }


if __name__ == "__main__":
    _, folder, repo, rate, seconds = sys.argv
    print(json.dumps(asyncio.run(measured(Path(folder), repo, int(rate), float(seconds)))), flush=True)
