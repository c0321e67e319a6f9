"""A `SpanSet` says what a set of integers would say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, combinations, combinations_with_replacement, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.spans import Span, SpanSet

LIMIT = 40
lengths = st.integers(0, 3) | st.integers(0, LIMIT)
spans = st.builds(lambda start, length: Span(start, start + length), st.integers(0, LIMIT), lengths)
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), spans), max_size=12)


def bytes_of(held: Iterable[Span]) -> set[int]:
    return {n for span in held for n in range(span.start, span.stop)}


def built(actions: Sequence[tuple[str, Span]]) -> tuple[SpanSet, set[int]]:
    held, model = SpanSet(), set[int]()
    for action, span in actions:
        if action == "add":
            held.add(span)
            model |= bytes_of([span])
        else:
            held.remove(span)
            model -= bytes_of([span])
    return held, model


@settings(deadline=None, max_examples=300)
@given(steps)
def test_adding_and_removing_is_what_sets_do(actions: list[tuple[str, Span]]) -> None:
    held, model = built(actions)
    assert bytes_of(held) == model
    assert (len(held), bool(held)) == (len(model), bool(model))


@settings(deadline=None, max_examples=300)
@given(steps)
def test_spans_stay_sorted_disjoint_apart_and_never_empty(actions: list[tuple[str, Span]]) -> None:
    kept = list(built(actions)[0])
    assert all(len(span) for span in kept)
    assert all(left.stop < right.start for left, right in pairwise(kept))


@settings(deadline=None, max_examples=200)
@given(actions=steps, size=st.integers(0, LIMIT + 5), offset=st.integers(0, LIMIT + 5), longest=st.integers(1, 20))
def test_questions_are_answered_as_by_the_model(
    actions: list[tuple[str, Span]], size: int, offset: int, longest: int
) -> None:
    held, model = built(actions)
    gaps = held.gaps(size)
    assert bytes_of(gaps) == set(range(size)) - model
    assert all(len(gap) for gap in gaps)
    assert all(left.stop < right.start for left, right in pairwise(gaps))

    stop = offset
    while stop in model:
        stop += 1
    assert held.run_from(offset) == stop

    first = held.first(longest)
    if not model:
        assert first is None
    else:
        assert first is not None
        low = min(model)
        expected = [n for n in range(low, low + longest) if set(range(low, n + 1)) <= model]
        assert list(range(first.start, first.stop)) == expected


def test_a_span_is_touched_where_a_byte_of_it_is_held() -> None:
    few = range(7)  # all sets of so many bytes, and all spans of them
    for model in chain.from_iterable(combinations(few, count) for count in few):
        held = SpanSet(Span(n, n + 1) for n in model)
        for start, stop in combinations_with_replacement(few, 2):
            assert held.touches(Span(start, stop)) is any(n in model for n in range(start, stop))


@settings(deadline=None, max_examples=100)
@given(actions=steps, order=st.randoms())
def test_the_way_bytes_were_added_does_not_show(actions: list[tuple[str, Span]], order: object) -> None:
    held, model = built(actions)
    single = [Span(n, n + 1) for n in model]
    order.shuffle(single)  # type: ignore[attr-defined]
    assert SpanSet(single) == held == SpanSet(held)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (-5, -1)])
def test_what_is_not_a_span_cannot_be_made(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span(start, stop)


def test_the_wire_sees_inclusive_ends() -> None:
    assert Span(0, 1).as_header() == "bytes=0-0"
    assert Span(1 << 40, (1 << 40) + 500).as_header() == "bytes=1099511627776-1099511628275"


@given(steps, steps)
def test_sets_are_equal_where_their_bytes_are(one: list[tuple[str, Span]], other: list[tuple[str, Span]]) -> None:
    (held, model), (held_too, model_too) = built(one), built(other)
    assert (held == held_too) is (model == model_too)
    assert (repr(held) == repr(held_too)) is (model == model_too)


def test_a_set_equals_only_sets_and_cannot_be_hashed() -> None:
    assert SpanSet([Span(0, 2)]) != [Span(0, 2)]
    with pytest.raises(TypeError):
        hash(SpanSet())
