"""The backlog: every event in its order, bytes added up and never lost, and one call to wake a listener."""

from __future__ import annotations

from itertools import groupby

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_fetch.client.backlog import Backlog
from acestep_fetch.core.events import BytesCompared, BytesReceived, Event, Note

FILES, HUBS, COUNTS = st.sampled_from(["a", "b"]), st.sampled_from(["huggingface", "modelscope"]), st.integers(1, 9)
EVENTS = st.one_of(
    st.builds(BytesReceived, FILES, HUBS, COUNTS),
    st.builds(BytesCompared, FILES, HUBS, COUNTS),
    st.builds(Note, st.just("info"), st.text(max_size=2)),
)
IS_PROGRESS = (BytesReceived, BytesCompared)


def taken(backlog: Backlog) -> list[Event]:
    return list(iter(backlog.take, None))


def sums(events: list[Event]) -> dict[tuple[str, str, str], int]:
    added: dict[tuple[str, str, str], int] = {}
    for event in events:
        assert isinstance(event, BytesReceived | BytesCompared)
        key = (event.name, event.path, event.source)
        added[key] = added.get(key, 0) + event.count
    return added


def parted(events: list[Event]) -> list[Note | dict[tuple[str, str, str], int]]:
    """What tells something as it is, and the sums of what came between."""
    found: list[Note | dict[tuple[str, str, str], int]] = []
    for is_progress, group in groupby(events, lambda event: isinstance(event, IS_PROGRESS)):
        same = list(group)
        found += [sums(same)] if is_progress else [event for event in same if isinstance(event, Note)]
    return found


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS), st.sets(st.integers(0, 50)))
def test_whoever_takes_whenever_hears_the_same(events: list[Event], looks: set[int]) -> None:
    backlog = Backlog(lambda: None)
    heard = list[Event]()
    for number, event in enumerate(events):
        backlog.put(event)
        if number in looks:
            heard += taken(backlog)
    heard += taken(backlog)
    assert parted(heard) == parted(events)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, min_size=1))
def test_it_wakes_once_until_all_is_taken(events: list[Event]) -> None:
    woken = list[int]()
    backlog = Backlog(lambda: woken.append(1))
    for _ in range(2):
        for event in events:
            backlog.put(event)
        assert len(taken(backlog)) <= len(events)
    assert len(woken) == 2


def test_progress_that_nobody_takes_needs_no_room() -> None:
    backlog = Backlog(lambda: None)
    for _ in range(10_000):
        backlog.put(BytesReceived("a", "huggingface", 1))
    assert taken(backlog) == [BytesReceived("a", "huggingface", 10_000)]
