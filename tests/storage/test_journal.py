"""A journal never says more than was said to it, whatever became of its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span
from acestep_fetch.storage import journal as module
from acestep_fetch.storage.journal import PIECE, RECORD_SIZE, Journal, Piece
from tests.storage.content import SOURCES, content, piece_of, sha256_of

DATA = content(4096)
DIGEST, SIZE = sha256_of(DATA), len(DATA)
PIECES = [piece_of(DATA, n * 512, n * 512 + 300 + n, SOURCES[n % 2]) for n in range(6)]


def written(path: Path, pieces: Sequence[Piece] = PIECES, drops: Sequence[Span] = ()) -> bytes:
    journal = Journal.create(path, DIGEST, SIZE, SOURCES)
    for piece in pieces:
        journal.append(piece)
    for span in drops:
        journal.drop(span)
    journal.sync()
    journal.close()
    return path.read_bytes()


def loaded(path: Path, digest: Digest = DIGEST, size: int = SIZE) -> list[Piece] | None:
    found = Journal.load(path, digest, size)
    if found is None:
        return None
    found[0].close()
    return found[1]


@pytest.fixture
def path(tmp_path: Path, system: str) -> Path:
    return tmp_path / "x.journal"


def test_what_was_appended_comes_back_in_order(path: Path) -> None:
    written(path, PIECES[::-1])
    assert loaded(path) == PIECES


def test_a_loaded_journal_goes_on_where_it_ended(path: Path) -> None:
    written(path, PIECES[:3])
    found = Journal.load(path, DIGEST, SIZE)
    assert found is not None
    found[0].append(PIECES[3])
    found[0].close()
    assert loaded(path) == PIECES[:4]


def test_truncated_anywhere_it_yields_a_beginning_of_what_was_appended(path: Path) -> None:
    whole = written(path)
    header = len(whole) - len(PIECES) * RECORD_SIZE
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = PIECES[: (length - header) // RECORD_SIZE] if length >= header else None
        assert loaded(path) == expected, length
        found = Journal.load(path, DIGEST, SIZE)
        if found:  # and it takes new records, where the torn one was
            found[0].append(PIECES[5])
            found[0].close()
            assert loaded(path) == sorted({*(expected or ()), PIECES[5]}, key=lambda p: p.span), length


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_bit_anywhere_never_yields_a_wrong_piece(path: Path, mask: int) -> None:
    whole = written(path)
    header = len(whole) - len(PIECES) * RECORD_SIZE
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
        expected = PIECES[: (at - header) // RECORD_SIZE] if at >= header else None
        assert loaded(path) == expected, at


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), junk=st.binary(max_size=120))
def test_junk_anywhere_never_yields_a_piece_that_was_not_appended(path: Path, at: int, junk: bytes) -> None:
    whole = written(path)
    path.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    assert set(loaded(path) or ()) <= set(PIECES)


@pytest.mark.parametrize(
    ("digest", "size"), [(sha256_of(b"other"), SIZE), (Digest("git-sha1", DIGEST.hex), SIZE), (DIGEST, SIZE + 1)]
)
def test_the_journal_of_another_content_is_not_believed(path: Path, digest: Digest, size: int) -> None:
    written(path)
    assert loaded(path, digest, size) is None


@pytest.mark.parametrize(("name", "value"), [("_MAGIC", b"ACEFJ2\r\n"), ("PIECE", 4 << 20)])
def test_the_journal_of_another_version_is_not_believed(
    path: Path, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, name, value)
        written(path)
    assert loaded(path) is None


def test_no_file_and_an_empty_file_are_no_journal(path: Path) -> None:
    assert loaded(path) is None
    path.touch()
    assert loaded(path) is None


@pytest.mark.parametrize(
    ("dropped", "left"),
    [
        (Span(0, SIZE), []),
        (Span(0, 1), PIECES[1:]),  # a piece goes as a whole
        (Span(512, 1024), [PIECES[0], *PIECES[2:]]),
        (Span(1000, 1024), PIECES),  # between pieces
        (Span(700, 1100), [PIECES[0], *PIECES[3:]]),
        (Span(5, 5), PIECES),
    ],
)
def test_a_dropped_span_takes_every_piece_it_touches(path: Path, dropped: Span, left: list[Piece]) -> None:
    written(path, drops=[dropped])
    assert loaded(path) == left


def test_a_piece_that_comes_again_after_a_drop_counts(path: Path) -> None:
    written(path, drops=[PIECES[1].span])
    found = Journal.load(path, DIGEST, SIZE)
    assert found is not None
    again = Piece(PIECES[1].span, 12345, SOURCES[1])
    found[0].append(again)
    found[0].close()
    assert loaded(path) == [PIECES[0], again, *PIECES[2:]]


def test_drops_longer_than_a_piece_reach_all_of_it(path: Path) -> None:
    size = 3 * PIECE
    pieces = [Piece(Span(n * PIECE, (n + 1) * PIECE), n, SOURCES[0]) for n in range(3)]
    journal = Journal.create(path, DIGEST, size, SOURCES)
    for piece in pieces:
        journal.append(piece)
    journal.drop(Span(PIECE // 2, 2 * PIECE + 1))
    journal.close()
    assert loaded(path, size=size) == []


@pytest.mark.parametrize(
    "wrong", [Piece(Span(SIZE - 1, SIZE + 1), 0, SOURCES[0]), Piece(Span(0, PIECE + 1), 0, SOURCES[0])]
)
def test_a_record_that_cannot_be_ends_the_journal(path: Path, wrong: Piece) -> None:
    written(path, [*PIECES[:2], wrong, *PIECES[2:]])
    assert loaded(path) == PIECES[:2]


def test_a_source_that_the_journal_does_not_know_is_a_bug_and_says_so(path: Path) -> None:
    journal = Journal.create(path, DIGEST, SIZE, SOURCES)
    with pytest.raises(ValueError, match="elsewhere"):
        journal.append(Piece(Span(0, 1), 0, "elsewhere"))
    journal.close()
    assert loaded(path) == []


def test_creating_forgets_what_stood_there(path: Path) -> None:
    longer = written(path)
    assert len(written(path, [])) < len(longer)
    assert loaded(path) == []
