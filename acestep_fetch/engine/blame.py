"""What a failed request means: for the source, for the file, and whether anything can still come.

Failures of the host make the source rest. Failures that are facts about a file ban the source for that file alone. A
transfer fails when nobody is left to ask, or when those who are left have been silent for too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from acestep_fetch.core.errors import (
    AccessError,
    Failure,
    FetchError,
    IntegrityError,
    NetworkError,
    NotFoundError,
    SourceError,
)
from acestep_fetch.core.events import Detail, Note, SourceSwitched
from acestep_fetch.core.model import HubName
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import Flight, Transfer

ENOUGH_FAILURES: Final = 3
MOVE_AFTER: Final = 10.0  # seconds of silence after which a component is rather taken from the other hub
_AT_ONCE: Final = frozenset((Failure.MISSING, Failure.REFUSED))
_NO_WAY: Final = frozenset((Failure.UNTRUSTED, Failure.PROXY_REFUSES))  # no word about a file: nobody gets there
_STRIKES: Final = {Failure.WRONG_REPLY: 3, Failure.WRONG_BYTES: 2, Failure.EXPIRED: 4, Failure.BUSY: 8}
_OF_THE_HOST: Final = frozenset((Failure.UNREACHABLE, Failure.STALLED, Failure.BUSY, Failure.EXPIRED))
_MOST_STRIKES: Final = 6
_HINT: Final = "check the connection (`acestep-fetch doctor`) and run the same command again: what is there is kept"


class Blame:
    def __init__(self, context: Context, sources: Mapping[HubName, Source]) -> None:
        self._context, self._sources = context, sources

    def failed(self, flight: Flight, error: SourceError) -> None:
        """Draws the consequences of a flight's failure."""
        transfer, source = flight.transfer, flight.source
        if not transfer.open:
            return
        progress = flight.offset > flight.start
        self._context.emit(Detail(f"{transfer.label}: {source.name}: {error.failure}: {error.message}"))
        transfer.note(source.name, error)
        transfer.failed(self._context.clock())
        if error.failure is Failure.BAD_TOKEN and self._token_is_gone(flight):
            return
        if transfer.small and error.failure in (Failure.WRONG_BYTES, Failure.WRONG_REPLY):
            source.doubt(transfer.places[source.name], proven=not flight.is_trial)
        if error.failure is Failure.NO_RANGES:
            transfer.without_ranges.add(source.name)
            return
        if error.failure in _OF_THE_HOST or (error.failure is Failure.SHORT and not progress):
            known = source.score.failures
            if source.failed(error):
                text = f"{source.name.title} does not answer ({error.message}); trying again"
                self._context.emit(Note("warning", text))
            if source.score.failures == known:
                return  # one of many that broke at once
        transfer.strikes[source.name] = 0 if progress else transfer.strikes[source.name] + 1
        self._perhaps_ban(transfer, source, error)

    def _token_is_gone(self, flight: Flight) -> bool:
        """Whether it is worth asking again, because this flight still carried a token that is dropped now."""
        source, now = flight.source, self._context.clock()
        if source.hub.drop_token():
            source.token_dropped = now
            self._context.emit(Note("warning", f"{source.name.title} does not accept the token: going on without it"))
        return source.token_dropped is not None and flight.began <= source.token_dropped

    def _perhaps_ban(self, transfer: Transfer, source: Source, error: SourceError) -> None:
        strikes, failure = transfer.strikes[source.name], error.failure
        others = [name for name in transfer.places if name != source.name and transfer.usable(name)]
        hopeless = failure in _AT_ONCE or failure is Failure.BAD_TOKEN or failure in _NO_WAY
        if failure in (Failure.WRONG_REPLY, Failure.WRONG_BYTES):
            hopeless |= strikes >= (1 if others and failure is Failure.WRONG_BYTES else _STRIKES[failure])
        elif others and not source.score.is_suspect and self._sources[others[0]].down_since is None:
            hopeless |= strikes >= _STRIKES.get(failure, _MOST_STRIKES)
        if hopeless:
            self.ban(transfer, source.name, error)

    def ban(self, transfer: Transfer, name: HubName, error: SourceError) -> None:
        """`name` is not asked for this file any more; the transfer fails where nobody is left."""
        if name in transfer.banned:
            return
        transfer.banned[name] = error
        left = [other for other in transfer.places if transfer.usable(other)]
        at = next((gap.start for gap in transfer.held.gaps(transfer.file.size)), transfer.file.size)
        self._context.emit(SourceSwitched(transfer.label, name, left[0] if left else "", at, str(error.failure)))
        if not left:
            transfer.fail(self.verdict(transfer))

    def give_up(self, transfers: Iterable[Transfer], now: float) -> None:
        """Fails what makes no progress and has nobody left but sources that were silent or useless for too long."""
        up = all(s.down_since is None and s.rests_until() <= now for s in self._sources.values())
        for transfer in list(transfers):
            if up and not transfer.failures:
                continue  # nearly all, nearly always
            usable = [self._sources[name] for name in transfer.places if transfer.usable(name)]
            if not transfer.open or transfer.complete or self._moves(transfer, now):
                continue
            longest = self._context.options.give_up_after
            patience = min(MOVE_AFTER, longest) if transfer.movable else longest
            down = all(s.down_since is not None and now - s.down_since > patience for s in usable)
            stuck = transfer.failing_since is not None and now - transfer.failing_since > patience
            asked = [s.rests_until(transfer.places[s.name]) - now for s in usable]
            if down or (stuck and transfer.failures >= ENOUGH_FAILURES) or (asked and min(asked) > longest):
                transfer.fail(self.verdict(transfer))

    def _moves(self, transfer: Transfer, now: float) -> bool:
        """Whether bytes that will be kept are coming in: those of a small file are kept only once it is whole."""
        recent = self._context.options.stall_timeout
        return not transfer.small and any(
            f.held_up or (f.last_byte > f.began and now - f.last_byte < recent) for f in transfer.flights
        )

    def verdict(self, transfer: Transfer) -> FetchError:
        """The error of a transfer that cannot be had, by the gravest thing that was said about it."""
        failures = {error.failure for error in transfer.banned.values()}
        down = [n for n in transfer.places if transfer.usable(n)]
        if down:
            troubles = [(n, error) for n in down if (error := self._sources[n].trouble)]
            names = " and ".join(n.title for n in [n for n, _ in troubles] or down)
            said = [f"{n.title}: {error.failure} ({error.message})" for n, error in troubles]
            return NetworkError(
                f"{transfer.label}: no answer from {names}",
                hint=next((error.hint for _, error in troubles if error.hint), _HINT),
                attempts=transfer.attempts or said,
            )
        if way := next((error for error in transfer.banned.values() if error.failure in _NO_WAY), None):
            return NetworkError(f"{transfer.label}: {way.message}", hint=way.hint, attempts=transfer.attempts)
        if failures & {Failure.WRONG_BYTES, Failure.WRONG_REPLY}:
            return IntegrityError(
                f"{transfer.label}: no source has bytes that match the listed digest",
                hint="nothing wrong was kept; try again later, or take another revision (--revision)",
                attempts=transfer.attempts,
            )
        if Failure.REFUSED in failures or Failure.BAD_TOKEN in failures:
            return AccessError(
                f"{transfer.label}: access refused",
                hint="accept the terms on the model's page, and set HF_TOKEN to your token (or --token-file)",
                attempts=transfer.attempts,
            )
        if failures <= {Failure.MISSING}:
            return NotFoundError(
                f"{transfer.label}: no hub has this file any more",
                hint="its repository has changed meanwhile: run the same command again, and it is listed anew",
                attempts=transfer.attempts,
            )
        return NetworkError(f"{transfer.label}: every source failed", hint=_HINT, attempts=transfer.attempts)
