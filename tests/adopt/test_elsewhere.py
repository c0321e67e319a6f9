"""A file that somebody writes to while it is read is not believed, however right its first bytes were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch.core.events import Event, Note, Waiting
from acestep_fetch.core.model import RemoteFile
from acestep_fetch.engine.adopting import Elsewhere
from acestep_fetch.engine.context import Context
from acestep_fetch.options import Options
from acestep_fetch.storage.checksum import digests_of
from acestep_fetch.storage.finding import Search, candidate_at, usual_places
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.taking import HashedCopy, UnreadableError
from acestep_fetch.storage.threads import Disk

SIZE = 40 << 20  # more than one step of reading
DATA = bytes(SIZE)


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as disk:
        yield disk


async def test_a_file_that_changes_while_it_is_read_is_not_believed(disk: Disk, tmp_path: Path) -> None:
    path, told = tmp_path / "there" / "file", list[Event]()
    path.parent.mkdir()
    path.write_bytes(DATA)

    def listen(event: Event) -> None:
        told.append(event)
        if isinstance(event, Waiting) and path.stat().st_size == SIZE:
            with path.open("r+b") as file:  # behind what was read: the digest will still be the right one
                file.write(b"\x01")

    context = Context(Options(adopt=(path.parent,)), Layout(tmp_path / "out"), disk, listen)
    elsewhere, wanted = Elsewhere(context), RemoteFile("file", SIZE, digests_of(DATA).sha256)
    await elsewhere.look_for([wanted])
    assert elsewhere.copy_of(wanted.digests) is None
    assert any(isinstance(event, Note) and "changed while it was read" in event.text for event in told)


async def test_each_file_is_read_once(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in "ab":
        (tmp_path / "there" / name).write_bytes(name.encode() * 9)
    told = list[Event]()
    context = Context(Options(adopt=(tmp_path / "there",)), Layout(tmp_path / "out"), disk, told.append)
    elsewhere = Elsewhere(context)
    files = [RemoteFile(name, 9, digests_of(name.encode() * 9).sha256) for name in "abc"]
    await elsewhere.look_for(files)
    (tmp_path / "there" / "b").write_bytes(b"c" * 9)  # and its time says so
    assert [elsewhere.copy_of(file.digests) is not None for file in files] == [True, True, False]
    await elsewhere.look_for(files)
    assert elsewhere.copy_of(files[2].digests) == tmp_path / "there" / "b"


def test_a_copy_has_the_digests_of_its_own_bytes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(DATA)
    copy = HashedCopy(source, target, git=True)
    assert copy.step()
    with source.open("r+b") as file:
        file.seek(SIZE - 1)
        file.write(b"\x01")
    while copy.step():
        assert not target.exists()
    digests = copy.finish()
    assert digests == digests_of(target.read_bytes()) == digests_of(DATA[:-1] + b"\x01")


def test_a_copy_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DATA)
    copy = HashedCopy(tmp_path / "source", tmp_path / "new" / "target", git=False)
    copy.step()
    copy.discard()
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(UnreadableError):
        HashedCopy(tmp_path / "gone", tmp_path / "new" / "target", git=False)


def test_what_is_found_is_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    (tmp_path / "d").write_bytes(b"1234")
    search = Search([tmp_path, tmp_path], [5])
    while search.step():
        pass
    assert search.found == [candidate_at(tmp_path / "a")]


def test_the_usual_places_are_those_that_exist(tmp_path: Path) -> None:
    for name in (".cache/huggingface/hub", "ms", "ComfyUI/models", "else/models"):
        (tmp_path / name).mkdir(parents=True)
    home = {"HOME": str(tmp_path)}
    assert usual_places(home) == (tmp_path / ".cache/huggingface/hub", tmp_path / "ComfyUI/models")
    named = {"HF_HUB_CACHE": str(tmp_path / "no"), "MODELSCOPE_CACHE": str(tmp_path / "ms")}
    named["COMFYUI_PATH"] = str(tmp_path / "else")
    assert usual_places(home | named) == (tmp_path / "ms", tmp_path / "else/models", tmp_path / "ComfyUI/models")
