"""Where bytes lie in volumes, and what a damaged description of that is called."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.bundle import (
    Bundle,
    Needs,
    Volume,
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


def content(**other: object) -> dict[str, object]:
    return {"contents": [{"path": "a", "size": 9, "sha256": "a" * 64, "extents": [[0, 5, 0, 0]], **other}]}


def volume(**other: object) -> dict[str, object]:
    return {"volumes": [{"name": "x", "size": 9, "sha256": "", **other}], "contents": []}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"volumes": 7}, "TypeError"),
        ({"volumes": [{}]}, "KeyError('name')"),
        ({"volumes": [7]}, "TypeError"),
        (volume(name=7), "TypeError"),
        (volume(name="../x"), "'../x' is no volume"),
        (volume(name="a/x"), "'a/x' is no volume"),
        (volume(size=-1), "'x' is no volume"),
        (volume(size="1"), "'x' is no volume"),
        (volume(size=True), "'x' is no volume"),
        (volume(size=1.0), "'x' is no volume"),
        (volume(sha256="zz"), "the digest of x"),
        (volume(sha256=7), "TypeError"),
        (content(extents=[[0, 9, 0, 0]]), "where a lies"),  # beyond the volume
        (content(extents=[[0, 1, 0, 5]]), "where a lies"),
        (content(extents=[[0, 1, 2, 0]]), "where a lies"),
        (content(extents=[[0, 1, 7, 0]]), "where a lies"),
        (content(extents=[[0, 1, -1, 0]]), "where a lies"),
        (content(extents=[[0, 1, 0, -1]]), "where a lies"),
        (content(extents=[[0, 1, 0, True]]), "where a lies"),
        (content(size=4), "where a lies"),  # beyond the content
        (content(extents=[[3, 1, 0, 0]]), "not a span"),
        (content(extents=[["0", 1, 0, 0]]), "TypeError"),
        (content(extents=[[0, 1, 0]]), "not enough values to unpack"),
        (content(sha256="a"), "size and digest of a"),
        (content(size="9"), "size and digest of a"),
        (content(size=-1, extents=[]), "size and digest of a"),
        ({"contents": [None]}, "TypeError"),
        ({"contents": [{"path": "a"}]}, "KeyError"),
    ],
    ids=str,
)
def test_a_damaged_bundle_is_no_bundle(change: dict[str, object], said: str) -> None:
    rows = json.loads(render_bundle(made())) | change
    with pytest.raises(UsageError, match=rf"^b: this is no bundle \(.*{re.escape(said)}") as caught:
        parse_bundle(json.dumps(rows), "b")
    assert "acestep-fetch bundle create" in (caught.value.hint or "")


def test_what_lies_at_the_very_end_is_in_bounds() -> None:
    bundle = lay_out(LOCK, [Wanted("Repo/a.bin", 9, "a" * 64, (Span(8, 9),))], 1)
    assert parse_bundle(render_bundle(bundle), "b") == bundle
    empty = json.loads(render_bundle(bundle)) | content(size=0, extents=[]) | {"volumes": []}
    assert parse_bundle(json.dumps(empty), "b").contents[0].size == 0
    none = json.loads(render_bundle(bundle)) | volume(size=0)
    assert parse_bundle(json.dumps(none), "b").volumes == (Volume("x", 0),)


def test_a_volume_gets_its_digest_when_it_is_written() -> None:
    bundle = made()
    assert [volume.name for volume in bundle.volumes] == ["volume-0001.bin", "volume-0002.bin"]
    assert bundle.contents[0].volumes == {0, 1}
    written = bundle.with_digest(1, "f" * 64)
    assert [volume.sha256 for volume in written.volumes] == ["", "f" * 64]
    assert parse_bundle(render_bundle(written), "b") == written
    assert (written.lock, written.contents) == (bundle.lock, bundle.contents)


def test_volumes_of_another_layout_are_others() -> None:
    bundle = made()
    assert bundle.is_laid_out_as(bundle.with_digest(0, "f" * 64))
    assert bundle.with_digest(0, "f" * 64).is_laid_out_as(bundle)
    wanted = Wanted("Repo/a.bin", 9, "a" * 64, (Span(0, 9),))
    assert not bundle.is_laid_out_as(lay_out(LOCK, [wanted], 4)), "other volumes"
    assert not bundle.is_laid_out_as(lay_out(LOCK, [replace(wanted, sha256="b" * 64)], 5)), "other contents"
    assert not bundle.is_laid_out_as(replace(bundle, volumes=bundle.volumes[:1]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lacks": 7}, "AttributeError"),
        ({"lacks": {"Repo/a.bin": 7}}, "TypeError"),
        ({"lacks": {"Repo/a.bin": [[2, 1]]}}, "not a span"),
        ({"lacks": {"Repo/a.bin": [[5, 10]]}}, "Repo/a.bin has no such bytes"),
        ({"lacks": {"Repo/a.bin": [[0, 1], [7, 10]]}}, "Repo/a.bin has no such bytes"),
        ({"lacks": {"Repo/other": [[0, 1]]}}, "KeyError('Repo/other')"),
        ({"repos": ["x"]}, "'x' is not a repository id"),
        ({"repos": 7}, "TypeError"),
        ({"models": 3}, "this is no lock"),
    ],
    ids=str,
)
def test_damaged_needs_are_no_needs(change: dict[str, object], said: str) -> None:
    rows = json.loads(render_needs(Needs(LOCK, {}, ()))) | change
    with pytest.raises(UsageError, match=rf"^n: .*{re.escape(said)}") as caught:
        parse_needs(json.dumps(rows), "n")
    assert "models" in change or "acestep-fetch bundle needs" in (caught.value.hint or "")


def test_a_file_may_lack_nothing() -> None:
    rows = json.loads(render_needs(Needs(LOCK, {"Repo/a.bin": ()}, ())))
    assert parse_needs(json.dumps(rows), "n").lacks == {"Repo/a.bin": ()}
