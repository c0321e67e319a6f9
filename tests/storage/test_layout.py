"""Where things lie, and the notes that huggingface_hub's own client reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub._local_folder import read_download_metadata

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.model import Digest
from acestep_fetch.core.paths import why_unsafe
from acestep_fetch.storage.hf_metadata import HubFile, write_metadata
from acestep_fetch.storage.layout import STATE, Layout, choose_folder


def test_everything_unfinished_lies_in_the_state_folder(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    digest = Digest("sha256", "a" * 64)
    unfinished = [layout.part(digest), layout.staged("vae"), layout.staged(""), layout.receipts, layout.lease]
    assert all((tmp_path / STATE) in path.parents for path in unfinished)
    assert len(set(unfinished)) == len(unfinished)
    assert (layout.final("vae"), layout.final("")) == (tmp_path / "vae", tmp_path)


@pytest.mark.parametrize("name", ["/home", "..", "vae/..", "vae/x", ".acestep-fetch", ".git", "a\\b", "."])
def test_no_component_leads_anywhere_else(name: str, tmp_path: Path) -> None:
    """What is no part of a component is removed where it is put together: that must never be a folder of others."""
    for place in (Layout(tmp_path).staged, Layout(tmp_path).final):
        with pytest.raises(DiskError, match="nothing is put there"):
            place(name)


def test_parts_of_different_contents_never_share_a_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    digests = [Digest("sha256", "a" * 40), Digest("git-sha1", "a" * 40), Digest("sha256", "b" * 64)]
    assert len({layout.part(digest) for digest in digests}) == 3


def test_a_part_tells_whose_it_is_and_nothing_else_does(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for digest in (Digest("sha256", "a" * 64), Digest("git-sha1", "b" * 40)):
        assert layout.digest_of(layout.part(digest)) == digest
    for name in ("a.part", f"{'a' * 40}.part", f"git-sha1-{'b' * 64}.part", f"{'A' * 64}.part", ".part"):
        assert layout.digest_of(layout.parts / name) is None


def test_no_listing_can_write_into_the_state_folder() -> None:
    assert why_unsafe(f"{STATE}/lease")


def test_the_folder_is_checkpoints_below_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_folder(None) == (Path.cwd() / "checkpoints", None)


def test_inside_a_folder_called_checkpoints_it_is_that_folder_and_a_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path / "checkpoints")
    folder, note = choose_folder(None)
    assert folder == Path.cwd()
    assert note is not None
    assert str(folder) in note


@pytest.mark.parametrize(
    ("named", "below"), [("x", "here/x"), ("../x", "here/../x"), ("~/x", "home/x"), ("checkpoints", "here/checkpoints")]
)
def test_a_named_folder_is_taken_by_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, below: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert choose_folder(Path(named)) == (tmp_path / below, None)
    assert choose_folder(tmp_path / "abs") == (tmp_path / "abs", None)


FILES = [
    HubFile("config.json", "1" * 40),
    HubFile("sub/deep/model.safetensors", "a" * 64),
    HubFile("übung 1.txt", "2" * 40),
    HubFile(".gitattributes", "3" * 40),
]


def test_huggingface_hub_reads_our_notes_as_its_own(tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_text("x")
    write_metadata(tmp_path, "c" * 40, FILES)
    write_metadata(tmp_path, "d" * 40, FILES)  # a later commit takes the earlier one's place
    for file in FILES:
        found = read_download_metadata(tmp_path, file.path)
        assert found is not None, file.path
        assert (found.commit_hash, found.etag, found.filename) == ("d" * 40, file.etag, file.path)
    assert (tmp_path / ".cache/huggingface/.gitignore").read_text() == "*"


def test_a_file_that_changed_after_the_note_is_not_current(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("x")
    write_metadata(tmp_path, "c" * 40, FILES[:1])
    later = (tmp_path / "config.json").stat().st_mtime + 60
    os.utime(tmp_path / "config.json", (later, later))
    assert read_download_metadata(tmp_path, "config.json") is None


def test_a_long_name_costs_its_note_and_not_the_model(tmp_path: Path) -> None:
    write_metadata(tmp_path, "c" * 40, [HubFile("x" * 250, "1" * 40)])
