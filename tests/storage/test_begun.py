"""Word of what was begun: a hint for those who look, so nonsense in it is no word at all, and no disk is in its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.core.model import Digest
from acestep_fetch.storage.begun import Begun, BegunFile, all_begun, remove_begun, write_begun
from acestep_fetch.storage.layout import Layout

FILES = (
    BegunFile("vae/sub/model.safetensors", 7, Digest("sha256", "a" * 64)),
    BegunFile("config.json", 2, Digest("git-sha1", "b" * 40)),
)
WHOLE = Begun("m", "o/m", {}, FILES)


def test_what_was_written_is_read_until_it_is_removed(tmp_path: Path) -> None:
    layout, some = Layout(tmp_path), Begun("m", "o/m", {"include": ["*.json"]}, FILES[1:])
    assert list(all_begun(layout)) == []
    for begun in (WHOLE, some, WHOLE):
        write_begun(layout, begun)
    assert sorted(all_begun(layout), key=lambda begun: -begun.size) == [WHOLE, some]
    assert WHOLE.size == 9
    remove_begun(layout, "m", some.selection)
    remove_begun(layout, "m", some.selection)
    assert list(all_begun(layout)) == [WHOLE]
    assert [path.name for path in layout.begun.iterdir()] == ["m.json"]


def test_a_file_knows_its_component() -> None:
    assert [(file.component, file.inside) for file in FILES] == [("vae", "sub/model.safetensors"), ("", "config.json")]


NONSENSE: dict[str, dict[str, Any]] = {
    "a model that is a path": {"model": "a/b"},
    "a model above": {"model": ".."},
    "another version": {"v": 2},
    "no model": {"model": None},
    "a number for a repository": {"repo": 7},
    "a list for a selection": {"selection": []},
    "another field": {"more": 1},
    "no files": {"files": None},
    "a path that leads out": {"files": [{"path": "../x", "size": 1, "digest": {"kind": "sha256", "hex": "a" * 64}}]},
    "a negative size": {"files": [{"path": "x", "size": -1, "digest": {"kind": "sha256", "hex": "a" * 64}}]},
    "a digest of no kind": {"files": [{"path": "x", "size": 1, "digest": {"kind": "md5", "hex": "a" * 32}}]},
    "a digest that leads out": {"files": [{"path": "x", "size": 1, "digest": {"kind": "sha256", "hex": "../x"}}]},
    "no digest": {"files": [{"path": "x", "size": 1}]},
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_what_we_could_not_have_written_is_not_understood(change: dict[str, Any], tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_begun(layout, WHOLE)
    path = layout.begun / "m.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert list(all_begun(layout)) == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_nor_is_what_is_torn(text: bytes, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_begun(layout, WHOLE)
    (layout.begun / "m.json").write_bytes(text)
    assert list(all_begun(layout)) == []


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    layout, outside = Layout(tmp_path / "c"), tmp_path / "outside"
    outside.mkdir()
    layout.state.mkdir(parents=True)
    layout.begun.symlink_to(outside)
    write_begun(layout, WHOLE)
    assert list(outside.iterdir()) == []
    (outside / "m.json").write_text("theirs")
    remove_begun(layout, "m", {})
    assert (outside / "m.json").exists()


def test_a_disk_that_refuses_is_in_nobodys_way(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.state.mkdir()
    layout.begun.write_text("a file in the folder's place")
    write_begun(layout, WHOLE)
    remove_begun(layout, "m", {})
    assert list(all_begun(layout)) == []
