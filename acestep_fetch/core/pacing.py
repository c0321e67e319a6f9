"""How many connections a hub is given: few at first, more only on evidence that they bring more.

A hub starts with its share of nine connections, which fill a home line. If these bring more than any home line does,
it is given sixteen before they are up to speed. Otherwise one more is opened once they are, and the time that it takes
to be set up tells what limits them. Behind a link that is full there is a queue, and the newcomer waits in it: hold.
Where it waits no longer than the first connections did, the limit is on each connection (a cap, or loss): three times
as many, look whether the goodput follows, then double, and so on; where it does not follow, go back and hold.
A held pace looks again every ten seconds, and then takes a small step first.

Two things make it go down to a quarter, for as long as that brings more: a hub that gave more without any reason to be
seen, and goodput that collapsed by itself. Both are what a server does that throttles a client with too many
connections. A hub that says that it is busy is given half, and one more every ten seconds after that.

A pace is a value, and every step is a function of it, of the time and of what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import dropwhile
from types import MappingProxyType
from typing import Final

START: Final = 9  # connections, to all hubs together
_SECOND: Final = 3  # of them, for all hubs but the first
TICK: Final = 0.05  # seconds between two steps
HOLD: Final = 10.0  # seconds before a held pace looks again; doubled each time that more brought nothing
LONGEST_HOLD: Final = 60.0
GROW_EVERY: Final = 10.0  # seconds between one connection more after a "busy"
HALVE_ONCE_IN: Final = 2.0  # seconds in which several "busy" answers count as one

_BULK: Final = 32 * 1024  # bytes with which a hub counts as moving
_RAMP: Final = 5.0  # round trips in which connections get up to speed,
_SHORTEST_RAMP: Final = 0.4  # and seconds
_WIDE_RAMP: Final = 3  # times as long for many, which come up to speed beside others
_WIDE_HOLD: Final = 4.0  # seconds in which these are enough
_USUAL_SETUP: Final = 0.1  # seconds, while none has been seen
_WAITED: Final = 0.02  # seconds that a newcomer waits behind a queue,
_WAITED_SHARE: Final = 0.15  # or this share of the time it would have taken otherwise
_LOOK_FOR: Final = 2.0  # seconds in which a newcomer is expected
_LOOK_AGAIN: Final = 2.0  # seconds after a look in which we ourselves were late
_LEAP: Final = 2  # times as many connections are added by the first step
# Bytes a second of all hubs that no home line brings, on average since the first byte (no burst can feign that: what
# was held back behind a lost packet came over the same line), or later over so many seconds. With that, a hub is given
_FAST: Final = 16e6
_FAST_AFTER: Final = 0.25  # seconds since the first byte that are enough
_FAST_LATER: Final = 19e6
_LATER: Final = 3.0
_WIDE: Final = 16  # connections, because each pauses at times, and nobody else is crowded out
_ENOUGH: Final = 1.3e6  # bytes a second of each of so many connections, above which more are not looked for at once
_CRAWL: Final = 170e3  # bytes a second of a connection
_LEAPED: Final = 0.7  # seconds over which the goodput after a bold step is measured,
_STEPPED: Final = 1.5  # and after a small one
_WORTH: Final = 0.15  # of what a step could bring at the most, that it must bring
_NOTHING: Final = 1.03  # times as much: a step brought nothing at all
_LESS: Final = 0.8  # times as much: it did harm
_RELIEF: Final = 1.25  # times as much with a quarter of the connections: we were throttled
_GONE: Final = 0.3  # of the goodput, after a step up: it goes back at once
_GONE_FOR: Final = 0.6  # seconds: flows that make room for new ones stand still for a moment
_COLLAPSED: Final = 0.5  # of what was usual
_COLLAPSED_FOR: Final = 3.0  # seconds
_USUAL_OVER: Final = 10.0  # seconds over which the usual goodput is smoothed


class Phase(Enum):
    START = "start"  # nothing moves yet
    RAMP = "ramp"  # connections get up to speed
    LOOK = "look"  # one connection more was asked for: what does it see?
    UP = "up"  # many more were
    DOWN = "down"  # a quarter only
    HOLD = "hold"
    BUSY = "busy"  # the hub said so


_MAY_WIDEN: Final = frozenset((Phase.RAMP, Phase.LOOK, Phase.HOLD))


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A new connection: the seconds that its set-up took, and the least that one to the same host ever took."""

    setup: float
    least: float

    @property
    def waited(self) -> bool:
        return self.setup - self.least > max(_WAITED, _WAITED_SHARE * self.least)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of a hub by a tick. `received` and `others` are bytes so far, of this hub and of all others."""

    received: int
    others: int = 0
    flights: int = 0  # connections at work now
    newcomers: tuple[Newcomer, ...] = ()  # since the last tick
    late: float = 0.0  # seconds that the tick came late: what we measured waited for us
    limited: bool = False  # what comes is as much as the user allows: more connections could not bring more


@dataclass(frozen=True, slots=True)
class _Mark:
    at: float
    received: int
    others: int
    late: float


@dataclass(frozen=True, slots=True)
class _Rate:
    """Bytes a second."""

    own: float = 0.0
    others: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`limit` connections now, never above `ceiling`; `base` of them have proven themselves."""

    limit: int
    ceiling: int
    base: int
    step: int  # connections that the next step up adds
    phase: Phase = Phase.START
    changed: float = 0.0  # when the phase or the limit changed
    until: float = 0.0  # how long a pace is held
    hold: float = HOLD
    halved: float = float("-inf")
    least: float = _USUAL_SETUP  # shortest set-up seen
    back_to: int = 0  # the limit that a busy hub had before
    before: _Rate = _Rate()  # the goodput before the step that is on trial
    usual: _Rate = _Rate()
    sheds: bool = False  # connections above the limit are in the way, and should not even end what they do
    throttled: bool = False  # fewer connections have brought more
    failures: int = 0  # steps up in a row that brought nothing
    first: _Mark | None = None  # when bytes began to come
    marks: tuple[_Mark, ...] = field(default=(), repr=False)  # of the last seconds

    @property
    def overlaps(self) -> bool:
        """Whether there is room for a connection that asks for the next span while another one ends its own."""
        return self.base >= _WIDE and self.limit >= self.base and not self.sheds

    @property
    def speeds_up(self) -> bool:
        """Whether the first connections are still getting up to speed, and are best left alone."""
        return self.phase is Phase.START or (self.phase is Phase.RAMP and self.base < _WIDE)


def first(allowed: int, hubs: int, rank: int = 0) -> Pace:
    """For one of `hubs` that are there, with `allowed` connections at most. `rank` 0 is the one that comes first, which
    gets most: a hub can be full at once with six, and none is with four."""
    share = START if hubs <= 1 else START - _SECOND if not rank else _SECOND // (hubs - 1)
    share = max(1, min(allowed, share))
    return Pace(limit=share, ceiling=allowed, base=share, step=_LEAP * share)


def after_busy(pace: Pace, now: float) -> Pace:
    """The host answered 429 or 503."""
    if now - pace.halved < HALVE_ONCE_IN:
        return pace
    half = max(1, pace.limit // 2)
    back_to = pace.back_to if pace.phase is Phase.BUSY else pace.limit
    return replace(
        pace, limit=half, base=half, step=1, phase=Phase.BUSY, changed=now, halved=now, back_to=back_to, sheds=False
    )


def after_tick(pace: Pace, now: float, sample: Sample) -> Pace:
    pace = _seen(pace, now, sample)
    if pace.phase is not Phase.BUSY and (sample.limited or sample.flights < min(pace.base, pace.limit)):
        return pace  # there is not enough to do to tell anything
    pace = _on_fast_line(pace, now)
    return _STEPS[pace.phase](pace, now, sample)


def _seen(pace: Pace, now: float, sample: Sample) -> Pace:
    marks = (*pace.marks, _Mark(now, sample.received, sample.others, sample.late))
    marks = tuple(dropwhile(lambda mark: now - mark.at > _COLLAPSED_FOR + TICK, marks))
    least = min([newcomer.least for newcomer in sample.newcomers] or [pace.least])
    if pace.least != _USUAL_SETUP:
        least = min(least, pace.least)
    return replace(pace, marks=marks, least=least)


def _start(pace: Pace, now: float, sample: Sample) -> Pace:
    return replace(pace, phase=Phase.RAMP, changed=now, first=pace.marks[-1]) if sample.received >= _BULK else pace


def _ramp(pace: Pace, now: float, sample: Sample) -> Pace:
    wide = pace.base >= _WIDE
    if wide and now - pace.changed >= _ramp_time(pace) + _GONE_FOR:
        rate = _rate(pace, now, _GONE_FOR)
        if 0 < rate.own < _GONE * pace.before.own:
            return _down(pace, now)
    if now - pace.changed < _ramp_time(pace) * (_WIDE_RAMP if wide else 1):
        return pace
    if wide and _rate(pace, now, _GONE_FOR).own >= _ENOUGH * pace.base:
        return _held(pace, now, _WIDE_HOLD)
    return _look(pace, now)


def _on_fast_line(pace: Pace, now: float) -> Pace:
    """More comes than a home line can bring: there is room for more connections, and nobody to crowd out."""
    wide = min(_WIDE, pace.ceiling)
    if pace.base >= wide or pace.throttled or pace.phase not in _MAY_WIDEN:
        return pace
    if not (_was_fast_all_along(pace, now) or _is_fast_now(pace, now)):
        return pace
    before = _rate(pace, now, _SHORTEST_RAMP)
    return replace(pace, base=wide, limit=wide, step=wide, phase=Phase.RAMP, changed=now, before=before, sheds=False)


def _was_fast_all_along(pace: Pace, now: float) -> bool:
    first, last = pace.first, pace.marks[-1]
    if first is None or now - first.at < _FAST_AFTER or pace.marks[0].at > first.at + TICK:
        return False
    if any(mark.late >= _WAITED for mark in pace.marks):
        return False  # what piled up while we were late ourselves proves nothing
    return last.received + last.others - first.received - first.others >= _FAST * (now - first.at)


def _is_fast_now(pace: Pace, now: float) -> bool:
    rate = _rate(pace, now, _LATER)
    return now - pace.marks[0].at >= _LATER - TICK and rate.own + rate.others >= _FAST_LATER


def _look(pace: Pace, now: float) -> Pace:
    if pace.base >= pace.ceiling:
        return _held(pace, now, pace.hold)
    return replace(pace, phase=Phase.LOOK, limit=pace.base + 1, changed=now, sheds=False)


def _looking(pace: Pace, now: float, sample: Sample) -> Pace:
    if any(not newcomer.waited for newcomer in sample.newcomers):
        target = min(pace.ceiling, pace.base + pace.step)
        return replace(pace, phase=Phase.UP, limit=target, changed=now, before=_rate(pace, now, _LEAPED))
    if not sample.newcomers:
        return _held(pace, now, pace.hold) if now - pace.changed > _LOOK_FOR else pace
    if max(mark.late for mark in pace.marks if mark.at >= pace.changed) >= _WAITED:
        return replace(_held(pace, now, _LOOK_AGAIN), step=pace.step)
    return _full(pace, now)


def _full(pace: Pace, now: float) -> Pace:
    """A newcomer had to wait: the link is full, or what a throttled one is left with."""
    rate = _rate(pace, now, _SHORTEST_RAMP)
    if rate.own < _CRAWL * pace.base and pace.throttled:
        return _failed(pace, now)
    if rate.own < _CRAWL * pace.base and pace.base > 2 and not pace.failures:
        return _down(pace, now)
    return _held(pace, now, pace.hold)


def _up(pace: Pace, now: float, sample: Sample) -> Pace:
    before, growth = pace.before, pace.limit / pace.base - 1
    passed = now - pace.changed - _ramp_time(pace)
    if passed >= _GONE_FOR and _rate(pace, now, _GONE_FOR).own < _GONE * before.own:
        return replace(_failed(pace, now), throttled=True)
    window = _LEAPED if growth >= 0.5 else _STEPPED
    if passed < window:
        return pace
    after = _rate(pace, now, passed)
    taken = max(0.0, before.others - after.others)  # on a line that both hubs share, one's gain is the other's loss
    if after.own - before.own - taken >= _WORTH * min(1.0, growth) * before.own:
        return replace(pace, phase=Phase.RAMP, base=pace.limit, step=pace.limit, changed=now, hold=HOLD, failures=0)
    if passed < 2 * window:  # it may have been chance
        return pace
    lost = after.own < _LESS * before.own or (after.own < _NOTHING * before.own and before.own < _CRAWL * pace.base)
    if lost and not pace.failures and pace.base > 2:
        return _down(pace, now)
    return _failed(pace, now)


def _failed(pace: Pace, now: float) -> Pace:
    held = _held(pace, now, pace.hold)
    return replace(held, hold=min(LONGEST_HOLD, 2 * pace.hold), failures=pace.failures + 1)


def _down(pace: Pace, now: float) -> Pace:
    before = _rate(pace, now, _LEAPED)
    quarter = max(1, pace.base // 4)
    return replace(pace, phase=Phase.DOWN, limit=quarter, changed=now, before=before, usual=before, sheds=True)


def _downed(pace: Pace, now: float, sample: Sample) -> Pace:
    if now - pace.changed < _ramp_time(pace) + _LEAPED:
        return pace
    if _rate(pace, now, _LEAPED).own < _RELIEF * pace.before.own:
        return _failed(pace, now)
    return _look(replace(pace, base=pace.limit, step=pace.limit, hold=HOLD, throttled=True), now)


def _held(pace: Pace, now: float, seconds: float) -> Pace:
    return replace(
        pace,
        phase=Phase.HOLD,
        limit=pace.base,
        step=max(1, pace.base // 4),
        changed=now,
        until=now + seconds,
        sheds=pace.throttled,  # if not, those above the limit end their spans: what is under way to one is not wasted
    )


def _hold(pace: Pace, now: float, sample: Sample) -> Pace:
    if now >= pace.until:
        return _look(pace, now)
    if now - pace.changed < _COLLAPSED_FOR:
        return pace
    rate, usual = _rate(pace, now, _COLLAPSED_FOR), pace.usual
    lost, gained = usual.own - rate.own, rate.others - usual.others  # others may have taken it, on a line of all
    collapsed = rate.own < _COLLAPSED * usual.own and gained < lost / 2
    if collapsed and pace.base > 2 and _rate(pace, now, 1.0).own > 0:  # silence is no throttle
        return _down(pace, now)
    return replace(pace, usual=rate if usual.own == 0 else _drifted(usual, rate))


def _drifted(usual: _Rate, rate: _Rate) -> _Rate:
    share = TICK / _USUAL_OVER
    return _Rate(usual.own + share * (rate.own - usual.own), usual.others + share * (rate.others - usual.others))


def _busy(pace: Pace, now: float, sample: Sample) -> Pace:
    if now - pace.changed < GROW_EVERY:
        return pace
    if pace.limit >= min(pace.back_to, pace.ceiling):
        return _held(pace, now, pace.hold)
    return replace(pace, limit=pace.limit + 1, base=pace.limit + 1, changed=now)


_STEPS: Final = MappingProxyType(
    {
        Phase.START: _start,
        Phase.RAMP: _ramp,
        Phase.LOOK: _looking,
        Phase.UP: _up,
        Phase.DOWN: _downed,
        Phase.HOLD: _hold,
        Phase.BUSY: _busy,
    }
)


def _ramp_time(pace: Pace) -> float:
    return max(_SHORTEST_RAMP, _RAMP * pace.least)


def _rate(pace: Pace, now: float, seconds: float) -> _Rate:
    """The goodput of the last `seconds`, or of what is known of them."""
    last, since = pace.marks[-1], next(mark for mark in pace.marks if mark.at >= now - seconds - TICK / 2)
    passed = last.at - since.at
    if passed <= 0:
        return _Rate()
    return _Rate((last.received - since.received) / passed, (last.others - since.others) / passed)
