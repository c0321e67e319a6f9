"""Links for the pace to be tried on: a fluid model in steps of a tenth of a second, without I/O or a clock.

Connections that are opened together are one cohort: they take two round trips to bring their first byte, double each
round trip until something limits them (a cap, loss after Mathis, the hub's link, the line that both hubs share), and
keep the buffer before a full link filled, in which whoever connects has to wait. `python -m tests.core.fluid 1000`
prints how much the pace loses on so many random links against the best constant number of connections.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from acestep_fetch.core import pacing
from acestep_fetch.core.pacing import Newcomer, Pace, Sample

STEP: Final = 0.1  # seconds
MBIT: Final = 125_000.0  # bytes a second
CONSTANTS: Final = (1, 2, 4, 8, 16, 32)  # what the oracle may choose from, for each hub
_FIRST_WINDOW: Final = 14_600.0  # bytes
_PUSH: Final = 1.25  # of what a full link carries is sent into it
_SPAN: Final = 3.0  # seconds after which connections that are not wanted any more have ended their spans


@dataclass(frozen=True)
class Link:
    """To one hub. Rates are bytes a second; `steps` are (time, rate) that replace `rate` from then on.

    Above `most` connections the hub gives `throttled` of its rate, from the time `strict_from` on. A `fair` queue lets
    newcomers pass. `buffer` is seconds.
    """

    rtt: float
    rate: float
    cap: float = math.inf
    loss: float = 0.0
    buffer: float = 0.2
    fair: bool = False
    most: int = 1000
    throttled: float = 0.01
    strict_from: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()

    def rate_at(self, now: float, connections: int) -> float:
        rate = next((rate for at, rate in reversed(self.steps) if now >= at), self.rate)
        strict = connections > self.most and now >= self.strict_from
        return rate * (self.throttled if strict else 1.0)

    @property
    def each(self) -> float:
        """The most that one connection can bring."""
        mathis = 1.22 * 1460 / (self.rtt * math.sqrt(self.loss)) if self.loss else math.inf
        return min(self.cap, mathis)


@dataclass(frozen=True)
class World:
    links: tuple[Link, ...]
    access: float = math.inf
    buffer: float = 0.2  # seconds, of the access line


@dataclass
class _Cohort:
    count: int
    flows_from: float
    rate: float  # of each


@dataclass
class _Hub:
    """The state of one link. `meet` gives it the number of connections that are wanted."""

    link: Link
    chance: random.Random
    cohorts: list[_Cohort] = field(default_factory=list)
    queue: float = 0.0  # bytes
    received: float = 0.0
    least: float = math.inf
    coming: list[tuple[float, float]] = field(default_factory=list)  # (when it is known, set-up time)
    crowded_since: float | None = None

    @property
    def connections(self) -> int:
        return sum(cohort.count for cohort in self.cohorts)

    def meet(self, wanted: int, now: float, waits: float, *, sheds: bool = False) -> None:
        waits += self.queue / self.link.rate_at(now, 0)
        surplus = self.connections - wanted
        if surplus < 0:
            seen = self.link.rtt + (0.0 if self.link.fair else waits) + self.chance.uniform(0, 0.008)
            known = now + 2 * self.link.rtt + waits
            self.coming.append((known, seen))
            self.cohorts.append(_Cohort(-surplus, known, _FIRST_WINDOW / (self.link.rtt + waits)))
        if surplus <= 0:
            self.crowded_since = None
            return
        self.crowded_since = now if self.crowded_since is None else self.crowded_since
        if sheds or now - self.crowded_since >= _SPAN:
            self._drop(surplus)

    def _drop(self, surplus: int) -> None:
        while surplus > 0:
            gone = min(surplus, self.cohorts[-1].count)
            self.cohorts[-1].count -= gone
            surplus -= gone
            if not self.cohorts[-1].count:
                self.cohorts.pop()

    def offer(self, now: float, waits: float) -> float:
        """Bytes a second that come out of the hub's own link."""
        moving = [cohort for cohort in self.cohorts if now >= cohort.flows_from]
        turn = self.link.rtt + waits + self.queue / self.link.rate_at(now, 0)
        for cohort in moving:
            cohort.rate = min(self.link.each, cohort.rate * 2 ** (STEP / turn))
        capacity = self.link.rate_at(now, self.connections) * max(0.3, self.chance.gauss(1.0, 0.1))
        sent = sum(cohort.count * cohort.rate for cohort in moving)
        self._held_back(moving, sent, capacity)
        passed = min(capacity, sent + self.queue / STEP)
        self.queue = min(max(0.0, self.queue + (sent - passed) * STEP), self.link.buffer * self.link.rate_at(now, 0))
        return passed

    def _held_back(self, moving: Sequence[_Cohort], sent: float, capacity: float) -> None:
        if sent > _PUSH * capacity:
            for cohort in moving:
                cohort.rate *= _PUSH * capacity / sent

    def squeezed(self, share: float, now: float) -> None:
        """The access line lets only `share` of what came through."""
        for cohort in self.cohorts:
            if now >= cohort.flows_from:
                cohort.rate *= min(1.0, _PUSH * share)

    def newcomers(self, now: float) -> tuple[Newcomer, ...]:
        known = [setup for at, setup in self.coming if at <= now]
        self.coming = [(at, setup) for at, setup in self.coming if at > now]
        self.least = min([self.least, *known])
        return tuple(Newcomer(setup, self.least) for setup in known)


@dataclass(frozen=True)
class Moment:
    now: float
    received: tuple[float, ...]  # bytes so far, by hub
    connections: tuple[int, ...]

    @property
    def total(self) -> float:
        return sum(self.received)


Policy = Callable[[float, Sequence[Sample]], Sequence[tuple[int, bool]]]


def run(world: World, policy: Policy, seconds: float, seed: int = 0) -> Iterator[Moment]:
    """What happens, step by step. `policy` gives each hub its limit, and whether what is above it goes at once."""
    chance = random.Random(seed)
    hubs = [_Hub(link, chance) for link in world.links]
    queue, samples = 0.0, [Sample(0) for _ in hubs]
    for step in range(round(seconds / STEP)):
        now, waits = step * STEP, queue / world.access
        for hub, (limit, sheds) in zip(hubs, policy(now, samples), strict=True):
            hub.meet(limit, now, waits, sheds=sheds)
        offers = [hub.offer(now, waits) for hub in hubs]
        sent = sum(offers)
        share = min(1.0, (world.access - min(queue / STEP, 0.0)) / sent) if sent else 1.0
        for hub, offer in zip(hubs, offers, strict=True):
            hub.received += offer * share * STEP
            if share < 1.0:
                hub.squeezed(share, now)
        if world.access < math.inf:
            queue = min(max(0.0, queue + (sent - world.access) * STEP), world.buffer * world.access)
        total = sum(hub.received for hub in hubs)
        samples = [
            Sample(int(hub.received), int(total - hub.received), hub.connections, hub.newcomers(now)) for hub in hubs
        ]
        yield Moment(now + STEP, tuple(hub.received for hub in hubs), tuple(hub.connections for hub in hubs))


class Paced:
    """The product's policy."""

    def __init__(self, hubs: int, allowed: int = 32) -> None:
        self.paces: list[Pace] = [pacing.first(allowed, hubs, rank) for rank in range(hubs)]

    def __call__(self, now: float, samples: Sequence[Sample]) -> Sequence[tuple[int, bool]]:
        self.paces = [pacing.after_tick(p, now, s) for p, s in zip(self.paces, samples, strict=True)]
        return [(pace.limit, pace.sheds) for pace in self.paces]


def constant(number: int) -> Policy:
    return lambda now, samples: [(number, False)] * len(samples)


def random_world(chance: random.Random) -> World:
    """Anything from a bad home line to a data centre."""
    links = tuple(_random_link(chance) for _ in range(chance.choice((1, 2, 2))))
    access = _between(chance, 20, 500) * MBIT if chance.random() < 0.4 else math.inf
    return World(links, access, chance.uniform(0.03, 0.4))


def _random_link(chance: random.Random) -> Link:
    rate = _between(chance, 10, 1000) * MBIT
    later = ((chance.uniform(5, 20), rate * _between(chance, 0.1, 10)),)
    return Link(
        rtt=_between(chance, 0.015, 0.3),
        rate=rate,
        cap=_between(chance, 5, 100) * MBIT if chance.random() < 0.4 else math.inf,
        loss=_between(chance, 1e-4, 2e-2) if chance.random() < 0.25 else 0.0,
        buffer=_between(chance, 0.03, 0.4),
        fair=chance.random() < 0.2,
        most=chance.randint(3, 24) if chance.random() < 0.08 else 1000,
        throttled=_between(chance, 0.01, 0.3),
        steps=later if chance.random() < 0.15 else (),
    )


def _between(chance: random.Random, low: float, high: float) -> float:
    return math.exp(chance.uniform(math.log(low), math.log(high)))


@dataclass(frozen=True)
class Outcome:
    world: World
    regret: float
    connections: float  # on average
    best: int  # the oracle's number for each hub


def tried(world: World, seconds: float = 30.0) -> Outcome:
    moments = list(run(world, Paced(len(world.links)), seconds))
    best, most = max(
        ((number, list(run(world, constant(number), seconds))[-1].total) for number in CONSTANTS),
        key=lambda found: found[1],
    )
    mean = statistics.fmean(sum(moment.connections) for moment in moments)
    return Outcome(world, 1 - moments[-1].total / most, mean, best * len(world.links))


def outcomes(number: int, seed: int = 1) -> list[Outcome]:
    chance = random.Random(seed)
    return [tried(random_world(chance)) for _ in range(number)]


def percentile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def main(number: int) -> None:
    found = outcomes(number)
    kinds: dict[str, Callable[[World], bool]] = {
        "all": lambda world: True,
        "a line for both hubs": lambda world: world.access < math.inf and len(world.links) > 1,
        "a cap for each connection": lambda world: any(link.cap < math.inf for link in world.links),
        "loss": lambda world: any(link.loss for link in world.links),
        "rate steps": lambda world: any(link.steps for link in world.links),
        "throttles": lambda world: any(link.most < 1000 for link in world.links),
        "fair queues": lambda world: any(link.fair for link in world.links),
    }
    print("| links | number | median regret | P95 | worst | connections | the oracle's |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name, belongs in kinds.items():
        some = [outcome for outcome in found if belongs(outcome.world)]
        regrets = [outcome.regret for outcome in some]
        print(
            f"| {name} | {len(some)} | {statistics.median(regrets):.3f} | {percentile(regrets, 0.95):.3f} "
            f"| {max(regrets):.3f} | {statistics.fmean(o.connections for o in some):.1f} "
            f"| {statistics.fmean(o.best for o in some):.1f} |"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
