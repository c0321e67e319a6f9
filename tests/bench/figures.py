"""What a run and a set of runs come to. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median

GIB = 1 << 30
NOISY_LATE_US = 5000.0  # beyond it the machine was measured, not the network
NOISY_SHARE = 0.3  # cores that something else than the measurement had


@dataclass(frozen=True)
class Run:
    """One tool, once. `foreign` is how many cores other programs had meanwhile."""

    wall: float
    cpu: float
    rss: int
    code: int
    served: dict[str, int]
    requests: dict[str, int]
    connections: int
    wrong: list[str] = field(default_factory=list)
    late_p99_us: float = 0.0
    foreign: float = 0.0

    @property
    def is_noisy(self) -> bool:
        return self.late_p99_us > NOISY_LATE_US or self.foreign > NOISY_SHARE


@dataclass(frozen=True)
class Summary:
    """Medians over the runs of a tool in a scenario."""

    runs: int
    wall: float
    best: float
    worst: float
    cpu_per_gib: float
    rss: int
    served: float
    shares: dict[str, float]
    requests: dict[str, int]
    connections: int
    codes: list[int]
    right: int
    noisy: int


def summarize(runs: Sequence[Run], needed: int) -> Summary:
    """`needed` is how many bytes had to come. CPU, memory and requests are medians too; connections the most."""
    walls = [run.wall for run in runs]
    hubs, kinds = (sorted({key for run in runs for key in part(run)}) for part in (_served, _requests))
    return Summary(
        runs=len(runs),
        wall=median(walls),
        best=min(walls),
        worst=max(walls),
        cpu_per_gib=median(run.cpu for run in runs) * GIB / needed,
        rss=int(median(run.rss for run in runs)),
        served=median(sum(run.served.values()) for run in runs) / needed,
        shares={hub: median(run.served.get(hub, 0) / needed for run in runs) for hub in hubs},
        requests={kind: int(median(run.requests.get(kind, 0) for run in runs)) for kind in kinds},
        connections=max(run.connections for run in runs),
        codes=[run.code for run in runs],
        right=sum(not run.wrong for run in runs),
        noisy=sum(run.is_noisy for run in runs),
    )


def most_at_once(intervals: Iterable[Sequence[float]]) -> int:
    """How many of the closed intervals ``(first, last)`` overlap at most."""
    edges = sorted(edge for first, last in intervals for edge in ((first, 0), (last, 1)))
    most = now = 0
    for _, is_end in edges:
        now += -1 if is_end else 1
        most = max(most, now)
    return most


def windowed(came: Sequence[tuple[float, int]], skip: float = 1.0) -> list[float]:
    """Bytes a second in each window of 1 s, from `came` (time, bytes) in order: one window begins with each arrival,
    but for the first and the last `skip` seconds."""
    times, sums = [at for at, _ in came], [0, *accumulate(count for _, count in came)]
    inner = (i for i, at in enumerate(times) if times[0] + skip <= at and at + 1 <= times[-1] - skip)
    return [float(sums[bisect_left(times, times[i] + 1)] - sums[i]) for i in inner]


def added(counters: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sums of equal keys."""
    total = Counter[str]()
    for counter in counters:
        total.update(counter)
    return dict(total)


def _served(run: Run) -> dict[str, int]:
    return run.served


def _requests(run: Run) -> dict[str, int]:
    return run.requests
