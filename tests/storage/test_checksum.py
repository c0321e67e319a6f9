"""Digests against those who invented them: hashlib, zlib and git."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.model import Digest, RemoteFile
from acestep_fetch.storage.checksum import BLOCK, ContentHash, Digests, crc_at, crc_of, digests_of, hash_file
from tests.storage.content import content

SIZES = [0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77]


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("size", SIZES)
def test_a_file_has_the_digests_of_its_bytes(tmp_path: Path, size: int) -> None:
    data, path = content(size), tmp_path / "x"
    path.write_bytes(data)
    expected = Digests(hashlib.sha256(data).hexdigest(), git_id(data))
    assert hash_file(path, git=True) == digests_of(data) == expected
    assert hash_file(path, git=False) == Digests(expected.sha256, None)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
@pytest.mark.parametrize("data", [b"", b"hello\n", b"a\r\nb\0\xff", content(100_000)], ids=len)
def test_a_git_digest_is_what_git_says(data: bytes) -> None:
    said = subprocess.run(["git", "hash-object", "--stdin"], input=data, capture_output=True, check=True).stdout
    assert digests_of(data).git_sha1 == said.decode().strip()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=50), max_size=10))
def test_the_way_bytes_are_cut_does_not_matter(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    digest = ContentHash(len(whole), git=True)
    for chunk in chunks:
        digest.update(memoryview(chunk))
    assert digest.digests() == digests_of(whole)
    assert crc_of(chunks) == zlib.crc32(whole)
    assert crc_of(chunks[1:], crc_of(chunks[:1])) == zlib.crc32(whole)


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 10), (3, BLOCK + 5), (BLOCK, BLOCK), (5, 3 * BLOCK)])
def test_a_checksum_on_disk_is_that_of_the_bytes_there(tmp_path: Path, system: str, offset: int, length: int) -> None:
    data, path = content(2 * BLOCK + 9), tmp_path / "x"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert crc_at(fd, offset, length) == zlib.crc32(data[offset : offset + length])
    finally:
        os.close(fd)


GOOD = digests_of(b"x")
OTHER = digests_of(b"y")


@pytest.mark.parametrize(
    ("sha256", "git", "agrees"),
    [
        (GOOD.sha256, GOOD.git_sha1, True),
        (GOOD.sha256, None, True),
        (None, GOOD.git_sha1, True),
        (OTHER.sha256, GOOD.git_sha1, False),
        (GOOD.sha256, OTHER.git_sha1, False),
        (None, OTHER.git_sha1, False),
        (None, None, False),  # nothing listed is nothing proven
    ],
)
def test_every_listed_digest_must_agree(sha256: str | None, git: str | None, agrees: bool) -> None:
    assert GOOD.agrees_with(RemoteFile("p", 1, sha256, git)) is agrees


def test_a_digest_that_was_not_computed_is_never_agreement() -> None:
    assert not Digests(GOOD.sha256, None).agrees_with(RemoteFile("p", 1, None, GOOD.git_sha1))


def test_a_digest_is_given_in_the_kind_that_was_asked_for() -> None:
    assert GOOD.of_kind(Digest("sha256", "?")) == Digest("sha256", GOOD.sha256)
    assert GOOD.of_kind(Digest("git-sha1", "?")) == Digest("git-sha1", GOOD.git_sha1 or "")
