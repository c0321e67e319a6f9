"""Half-open byte ranges and sets of them: what is on disk, what is missing, what to ask for next.

A `SpanSet` is kept sorted, disjoint and merged, so every question is a scan over a handful of runs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The bytes ``[start, stop)``."""

    start: int
    stop: int  # exclusive, as in range()

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a span: [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start

    def as_header(self) -> str:
        """The value of a ``Range`` header; the wire's form is inclusive (RFC 9110, 14.1.2)."""
        return f"bytes={self.start}-{self.stop - 1}"


class SpanSet:
    """A mutable set of bytes, held as disjoint spans in order."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans = list[Span]()
        for span in spans:
            self.add(span)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        """The number of bytes held."""
        return sum(len(span) for span in self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpanSet) and self._spans == other._spans

    def __repr__(self) -> str:
        return f"SpanSet({self._spans})"

    def add(self, span: Span) -> None:
        """Holds `span` too; neighbours are merged."""
        if not len(span):
            return
        start, stop = span.start, span.stop
        first = last = bisect_right(self._spans, span)
        while first > 0 and self._spans[first - 1].stop >= start:
            first -= 1
            start = min(start, self._spans[first].start)
            stop = max(stop, self._spans[first].stop)
        while last < len(self._spans) and self._spans[last].start <= stop:
            stop = max(stop, self._spans[last].stop)
            last += 1
        self._spans[first:last] = [Span(start, stop)]

    def remove(self, span: Span) -> None:
        """Holds none of `span` any more."""
        if not len(span):
            return
        kept = list[Span]()
        for held in self._spans:
            if held.stop <= span.start or held.start >= span.stop:
                kept.append(held)
                continue
            if held.start < span.start:
                kept.append(Span(held.start, span.start))
            if held.stop > span.stop:
                kept.append(Span(span.stop, held.stop))
        self._spans = kept

    def first(self, longest: int) -> Span | None:
        """The lowest run held, cut to `longest` bytes; None when empty."""
        if not self._spans:
            return None
        head = self._spans[0]
        return Span(head.start, min(head.stop, head.start + longest))

    def run_from(self, offset: int) -> int:
        """Where the contiguous run that holds byte `offset` stops; `offset` itself if it is not held."""
        index = bisect_right(self._spans, offset, key=lambda span: span.start) - 1
        if index >= 0 and self._spans[index].stop > offset:
            return self._spans[index].stop
        return offset

    def touches(self, span: Span) -> bool:
        """Whether any byte of `span` is held."""
        index = bisect_right(self._spans, span.start, key=lambda held: held.start) - 1
        after = self._spans[index + 1] if index + 1 < len(self._spans) else None
        before = self._spans[index] if index >= 0 else None
        return bool((before and before.stop > span.start) or (after and after.start < span.stop)) and bool(len(span))

    def gaps(self, size: int) -> list[Span]:
        """What this set leaves out of ``[0, size)``, in order."""
        gaps, cursor = list[Span](), 0
        for held in self._spans:
            if held.start >= size:
                break
            if cursor < held.start:
                gaps.append(Span(cursor, held.start))
            cursor = max(cursor, held.stop)
        if cursor < size:
            gaps.append(Span(cursor, size))
        return gaps
