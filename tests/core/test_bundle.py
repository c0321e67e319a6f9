"""Where bytes lie in volumes, and what a damaged description of that is called."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.bundle import (
    Bundle,
    Needs,
    Wanted,
    lay_out,
    parse_bundle,
    parse_needs,
    render_bundle,
    render_needs,
)
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import parse
from acestep_fetch.core.spans import Span, SpanSet
from tests.core.test_lock import LOCK


@st.composite
def wishes(draw: st.DrawFn) -> list[Wanted]:
    made = list[Wanted]()
    for number in range(draw(st.integers(0, 5))):
        size = draw(st.integers(1, 60))
        cuts = sorted(draw(st.sets(st.integers(0, size), max_size=6)))
        spans = tuple(SpanSet(Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)))
        made.append(Wanted(f"Repo/{number}", size, f"{number:064x}", spans))
    return made


@settings(deadline=None)
@given(wishes(), st.integers(1, 50))
def test_every_wish_lies_once_in_volumes_that_are_full(wanted: list[Wanted], split: int) -> None:
    bundle = lay_out(LOCK, wanted, split)
    assert all(volume.size == split for volume in bundle.volumes[:-1])
    assert all(0 < volume.size <= split for volume in bundle.volumes)
    taken = [SpanSet() for _ in bundle.volumes]
    for wish, content in zip(wanted, bundle.contents, strict=True):
        assert SpanSet(extent.span for extent in content.extents) == SpanSet(wish.spans)
        assert sum(len(extent.span) for extent in content.extents) == sum(map(len, wish.spans))
        for extent in content.extents:
            place = Span(extent.offset, extent.offset + len(extent.span))
            assert not taken[extent.volume].touches(place)
            taken[extent.volume].add(place)
    assert [len(each) for each in taken] == [volume.size for volume in bundle.volumes]
    assert parse_bundle(render_bundle(bundle), "b") == bundle
    assert lay_out(LOCK, reversed(wanted), split) == bundle


def test_needs_come_back_as_they_were_and_are_a_lock() -> None:
    needs = Needs(LOCK, {"Repo/a.bin": (Span(0, 2), Span(5, 9))}, ("made/Other",))
    text = render_needs(needs)
    assert parse_needs(text, "n") == needs
    assert parse(text, "n")[0] == LOCK
    assert needs.size == 6


def test_needs_are_put_in_order() -> None:
    """However they are written: a byte that is named twice is carried once."""
    rows = json.loads(render_needs(Needs(LOCK, {}, ()))) | {"lacks": {"Repo/a.bin": [[5, 9], [0, 2], [1, 6]]}}
    assert parse_needs(json.dumps(rows), "n").lacks == {"Repo/a.bin": (Span(0, 9),)}


def made() -> Bundle:
    return lay_out(LOCK, [Wanted("Repo/a.bin", 9, "a" * 64, (Span(0, 9),))], 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("volumes", 7),
        ("volumes", [{"name": "../x", "size": 5, "sha256": ""}]),
        ("volumes", [{"name": "x", "size": -1, "sha256": ""}]),
        ("volumes", [{"name": "x", "size": 5, "sha256": "zz"}]),
        ("contents", [{"path": "a", "size": 9, "sha256": "a" * 64, "extents": [[0, 9, 0, 0]]}]),  # beyond the volume
        ("contents", [{"path": "a", "size": 9, "sha256": "a" * 64, "extents": [[0, 1, 7, 0]]}]),
        ("contents", [{"path": "a", "size": 9, "sha256": "a" * 64, "extents": [[0, 1, -1, 0]]}]),
        ("contents", [{"path": "a", "size": 9, "sha256": "a" * 64, "extents": [[3, 1, 0, 0]]}]),
        ("contents", [{"path": "a", "size": 9, "sha256": "a" * 64, "extents": [["0", 1, 0, 0]]}]),
        ("contents", [{"path": "a", "size": 9, "sha256": "a", "extents": []}]),
        ("contents", [None]),
    ],
)
def test_a_damaged_bundle_is_no_bundle(field: str, value: object) -> None:
    rows = json.loads(render_bundle(made())) | {field: value}
    with pytest.raises(UsageError, match=r"^b: this is no bundle"):
        parse_bundle(json.dumps(rows), "b")


@pytest.mark.parametrize(
    "change",
    [
        {"lacks": 7},
        {"lacks": {"Repo/a.bin": [[2, 1]]}},
        {"lacks": {"Repo/a.bin": [[5, 10]]}},
        {"lacks": {"Repo/other": [[0, 1]]}},
        {"repos": ["x"]},
        {"models": 3},
    ],
)
def test_damaged_needs_are_no_needs(change: dict[str, object]) -> None:
    rows = json.loads(render_needs(Needs(LOCK, {}, ()))) | change
    with pytest.raises(UsageError, match=r"^n: "):
        parse_needs(json.dumps(rows), "n")
