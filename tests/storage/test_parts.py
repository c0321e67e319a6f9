"""Several writers, one file: right bytes, pieces that hold, and a reopening that finds the same."""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.storage import parts, platform
from acestep_fetch.storage.checksum import ContentHash
from acestep_fetch.storage.journal import PIECE
from acestep_fetch.storage.parts import PartFile, PieceWriter, allocated_bytes, held_bytes, journal_of
from tests.storage.content import SOURCES, content, held, piece_of, sha256_of

STEP = 64  # how often writers journal, in these tests
DATA = content(1000)
DIGEST = sha256_of(DATA)
RECORD_EVERY = parts.RECORD_EVERY
names = itertools.count()


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "RECORD_EVERY", STEP)


@pytest.fixture
def path(tmp_path: Path, system: str) -> Path:
    return tmp_path / "parts" / f"{DIGEST.hex}.part"


def opened(path: Path, size: int = len(DATA), digest: Digest = DIGEST) -> PartFile:
    return PartFile.open(path, size, digest, SOURCES)


def filled(path: Path, *spans: Span) -> PartFile:
    part = opened(path)
    for span in spans or (Span(0, len(DATA)),):
        writer = PieceWriter(part, SOURCES[0], span.start)
        writer.write([DATA[span.start : span.stop]])
        writer.finish()
    return part


def chunked(span: Span, draw: random.Random) -> Iterator[list[memoryview]]:
    """The bytes of `span` in batches of chunks of random sizes."""
    offset = span.start
    while offset < span.stop:
        batch = list[memoryview]()
        for _ in range(draw.randint(1, 4)):
            stop = min(span.stop, offset + draw.randint(0, 2 * STEP + 5))
            batch.append(memoryview(DATA)[offset:stop])
            offset = stop
        yield batch


def cut(cuts: list[int]) -> list[Span]:
    edges = sorted({0, len(DATA), *cuts})
    return [Span(a, b) for a, b in itertools.pairwise(edges)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(DATA) - 1), max_size=8), skipped=st.sets(st.integers(0, 8)), seed=st.integers())
def test_interleaved_writers_leave_right_bytes_and_pieces_that_hold(
    path: Path, cuts: list[int], skipped: set[int], seed: int
) -> None:
    place, draw = path.with_name(f"{next(names)}.part"), random.Random(seed)
    spans = [span for n, span in enumerate(cut(cuts)) if n not in skipped]
    part = opened(place)
    writers = [(PieceWriter(part, draw.choice(SOURCES), span.start), chunked(span, draw)) for span in spans]
    while writers:
        writer, batches = writers[draw.randrange(len(writers))]
        if (batch := next(batches, None)) is None:
            writer.finish()
            writers = [pair for pair in writers if pair[0] is not writer]
        else:
            writer.write(batch)
    assert held(part.pieces.values()) == SpanSet(spans)
    for piece in part.pieces.values():
        assert part.holds(piece)
        assert piece == piece_of(DATA, piece.span.start, piece.span.stop, piece.source)
        assert piece.span.start // STEP == (piece.span.stop - 1) // STEP  # never across a boundary
    before = part.pieces
    part.close()

    again = opened(place)
    assert again.pieces == before
    assert all(again.holds(piece) for piece in again.pieces.values())
    assert held_bytes(place, DIGEST, len(DATA)) == sum(len(span) for span in spans)
    again.discard()


def test_no_recorded_piece_crosses_a_piece_of_the_journal() -> None:
    assert PIECE == 8 << 20
    assert PIECE % RECORD_EVERY == 0


def test_what_was_not_finished_is_not_claimed(path: Path) -> None:
    part = opened(path)
    writer = PieceWriter(part, SOURCES[0], 10)
    writer.write([DATA[10 : STEP + 20]])
    part.close()
    again = opened(path)
    assert held(again.pieces.values()) == SpanSet([Span(10, STEP)])
    again.close()


def test_bytes_that_changed_on_disk_are_found_out(path: Path) -> None:
    part = filled(path)
    part.close()
    with path.open("r+b") as file:
        file.seek(3 * STEP + 7)
        file.write(bytes([DATA[3 * STEP + 7] ^ 1]))
    again = opened(path)
    assert [start for start, piece in again.pieces.items() if not again.holds(piece)] == [3 * STEP]
    again.drop(Span(3 * STEP, 4 * STEP))
    assert 3 * STEP not in again.pieces
    again.close()
    once_more = opened(path)
    assert once_more.pieces == again.pieces
    once_more.close()


def test_a_hash_is_fed_with_what_is_on_disk(path: Path) -> None:
    part, digest = filled(path), ContentHash(len(DATA), git=True)
    for span in cut([1, 500, 501]):
        part.feed(digest, span)
    part.feed(digest, Span(5, 5))
    assert digest.digests().sha256 == DIGEST.hex
    with pytest.raises(DiskError, match="another program has changed it"):
        part.feed(digest, Span(900, 1001))
    part.close()


@pytest.mark.parametrize("size", [0, 1, 999, 1001, 5000])
def test_a_part_of_another_length_is_started_anew(path: Path, size: int) -> None:
    filled(path).close()
    with path.open("r+b") as file:
        file.truncate(size)
    assert held_bytes(path, DIGEST, len(DATA)) == 0
    part = opened(path)
    assert part.pieces == {}
    assert path.stat().st_size == len(DATA)
    part.close()
    assert not any(path.read_bytes())  # nothing of the old bytes


@pytest.mark.parametrize("damage", ["journal gone", "journal empty", "part gone", "foreign digest"])
def test_a_part_without_its_own_journal_is_started_anew(path: Path, damage: str) -> None:
    filled(path).close()
    digest = sha256_of(b"x") if damage == "foreign digest" else DIGEST
    if damage == "journal gone":
        journal_of(path).unlink()
    elif damage == "journal empty":
        journal_of(path).write_bytes(b"")
    elif damage == "part gone":
        path.unlink()
    part = opened(path, digest=digest)
    assert part.pieces == {}
    part.close()


def test_publishing_leaves_the_file_and_nothing_else(path: Path, tmp_path: Path) -> None:
    filled(path).publish(tmp_path / "vae" / "deep" / "w.bin", tmp_path / "pieces" / "w.journal")
    assert (tmp_path / "vae/deep/w.bin").read_bytes() == DATA
    assert list(path.parent.iterdir()) == []


def test_discarding_leaves_nothing(path: Path) -> None:
    filled(path).discard()
    assert list(path.parent.iterdir()) == []


def test_looking_at_a_part_counts_what_its_journal_says(path: Path) -> None:
    assert (held_bytes(path, DIGEST, len(DATA)), allocated_bytes(path)) == (0, 0)
    filled(path, Span(0, 100), Span(200, 350)).close()
    assert held_bytes(path, DIGEST, len(DATA)) == 250
    assert held_bytes(path, sha256_of(b"x"), len(DATA)) == held_bytes(path, DIGEST, 999) == 0


def test_looking_at_a_part_changes_nothing(path: Path) -> None:
    filled(path).close()
    with journal_of(path).open("ab") as journal:
        journal.write(b"half a record")  # as another process is writing it just now
    before = journal_of(path).read_bytes()
    held_bytes(path, DIGEST, len(DATA))
    assert journal_of(path).read_bytes() == before


def test_overlapping_writers_reopen_to_what_was_held(path: Path) -> None:
    part = filled(path, Span(0, STEP), Span(STEP // 2, STEP))  # a hedged tail
    before = held(part.pieces.values())
    part.close()
    again = opened(path)
    after = held(again.pieces.values())
    again.close()
    assert after == before


def test_a_full_disk_loses_no_piece_and_claims_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = filled(path, Span(0, 2 * STEP))
    writer = PieceWriter(part, SOURCES[0], 2 * STEP)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(platform, "write_many_at", full)
        with pytest.raises(OSError, match="No space"):
            writer.write([DATA[2 * STEP : 4 * STEP]])
    assert (writer.offset, sorted(part.pieces)) == (2 * STEP, [0, STEP])
    writer.write([DATA[2 * STEP : 4 * STEP]])  # room again: the same writer goes on
    assert all(part.holds(piece) for piece in part.pieces.values())
    assert held(part.pieces.values()) == SpanSet([Span(0, 4 * STEP)])
    part.close()


@pytest.mark.parametrize("how", ["replaced", "a link", "shorter"])
def test_a_part_that_is_another_file_now_is_not_published(how: str, path: Path) -> None:
    part, target = filled(path), path.parent.parent / "final.bin"
    if how == "shorter":
        os.truncate(path, 999)
    else:
        path.rename(path.with_name("ours"))
        path.symlink_to("ours") if how == "a link" else path.write_bytes(DATA)
    with pytest.raises(DiskError, match="another program has changed it"):
        part.publish(target, path.parent.parent / "final.journal")
    part.close()
    assert not os.path.lexists(target)


@pytest.mark.parametrize(("harm", "said"), [(b"", "missing, damaged"), (b"ACEFJ2\r\n", "another version's")])
def test_what_is_thrown_away_is_said(harm: bytes, said: str, path: Path) -> None:
    filled(path).close()
    part = opened(path)
    assert (part.lost, held_bytes(path, DIGEST, len(DATA))) == ("", len(DATA))
    part.close()
    journal_of(path).write_bytes(harm)
    part = opened(path)
    assert said in part.lost
    part.close()


def test_room_that_is_there_in_part_is_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(fd: int, size: int) -> None:
        os.ftruncate(fd, size // 2)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(platform, "allocate", half)
    with pytest.raises(OSError, match="full"):
        opened(path)
    assert path.stat().st_size == 0
