"""Which of several things fit into a room that is too small for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def most_that_fit(things: Sequence[T], first: Sequence[T], needed: Callable[[Sequence[T]], int], room: int) -> list[T]:
    """As many of `things` as fit into `room`, in their own order; none where `first`, which has to be among them, does
    not fit. `needed` is what some of them need together: less than their sum, where they share something."""
    chosen = list(first)
    if needed(chosen) > room:
        return []
    for thing in sorted((t for t in things if t not in chosen), key=lambda t: needed([*first, t])):
        if needed([*chosen, thing]) <= room:
            chosen.append(thing)
    return [thing for thing in things if thing in chosen]
