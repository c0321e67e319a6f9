"""The checkpoints folder, what is left in it, and what `--fix` takes away."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from acestep_fetch.core.errors import LeaseError
from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span
from acestep_fetch.doctor import folder as folders
from acestep_fetch.doctor.findings import Level
from acestep_fetch.doctor.folder import FolderFacts, look_at_folder, of_folder
from acestep_fetch.doctor.mending import Removal, mend
from acestep_fetch.doctor.strays import find_strays, look_at_leftovers, of_leftovers, of_strays
from acestep_fetch.storage import platform
from acestep_fetch.storage.begun import Begun, BegunFile, write_begun
from acestep_fetch.storage.journal import Piece
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.parts import PartFile, allocated_bytes
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt
from tests.doctor.conftest import Build, sft

GB = 10**9
HF = "vae/.cache/huggingface/download"
LEFT = {
    f"{HF}/abc.incomplete": b"half",
    f"{HF}/config.json.lock": b"",
    "acestep-v15-base/._____temp/model.safetensors": b"half",
    "old.bin.aria2": b"x",
}


def facts(**given: object) -> FolderFacts:
    known = {
        "root": Path("/m/checkpoints"),
        "origin": "--dir",
        "note": None,
        "exists": True,
        "free": 50 * GB,
        "needed": 0,
    }
    return FolderFacts(**{**known, **given})  # type: ignore[arg-type]


def told(found: FolderFacts) -> str:
    return "\n".join(f"{each.level} {each.what}: {each.detail} -> {each.todo}" for each in of_folder(found))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "ok disk: 50.0 GB free, and the main model is here"),
        ({"needed": 9 * GB}, "ok disk: 50.0 GB free; the main model still needs about 9.0 GB"),
        (
            {"needed": 51 * GB},
            "FAIL disk: 50.0 GB free, but the main model still needs about 51.0 GB -> free 1.0 GB, or",
        ),
        ({"needed": 51 * GB, "reserved": 2 * GB}, "ok disk: 50.0 GB free; the main model still needs about 51.0 GB"),
        ({"refusal": "Read-only file system"}, "FAIL folder: it cannot be written: Read-only file system"),
        ({"exists": False}, "ok folder: /m/checkpoints (--dir), which does not exist yet"),
        ({"note": "this folder is called checkpoints"}, "warn folder: this folder is called checkpoints"),
        ({"kind": "vfat"}, "FAIL file system: vfat: no file over 4.3 GB fits"),
        ({"kind": "tmpfs"}, "warn file system: tmpfs: what is there is gone after a restart"),
        ({"kind": "nfs4"}, "ok file system: nfs4, over a network"),
        ({"kind": "ext4"}, "ok file system: ext4"),
        ({"locks": False}, "warn locks: they do not hold on this disk"),
        ({"nested": True}, "issue 623) -> move them up: mv /m/checkpoints/checkpoints/* /m/checkpoints/"),
        ({"others": (Path("/a/checkpoints"),)}, "there are models in /a/checkpoints too"),
    ],
)
def test_what_is_said_of_a_folder(given: dict[str, object], line: str) -> None:
    assert line in told(facts(**given))


def test_an_ordinary_folder(build: Build) -> None:
    root = build({"vae/config.json": b"{}"})
    found = look_at_folder(root, None, "--dir", {})
    assert (found.exists, found.refusal, found.nested, found.others) == (True, "", False, ())
    assert found.locks is True
    assert 10_000_000_000 < found.needed < 10_100_000_000
    assert sorted(path.name for path in root.iterdir()) == ["vae"], "something was left"


def test_locks_that_do_not_hold_are_noticed(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "try_lock", lambda fd: True)
    assert look_at_folder(build({}), None, "--dir", {}).locks is False


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_elses(build: Build) -> None:
    root = build({})
    root.chmod(0o500)
    assert look_at_folder(root, None, "--dir", {}).refusal == "Permission denied"


def test_a_file_where_the_folder_belongs(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    assert "is a file" in look_at_folder(tmp_path / "checkpoints", None, "--dir", {}).refusal


def test_folders_beside_which_models_lie_too(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = build({"checkpoints/vae/config.json": b"{}"})
    other = tmp_path / "project" / "checkpoints"
    (other / "acestep-v15-sft").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)  # where ACE-Step would look itself
    found = look_at_folder(root, None, "--dir", {"ACESTEP_PROJECT_ROOT": str(tmp_path / "project")})
    assert found.nested
    assert found.others == (other,)
    monkeypatch.chdir(other.parent)
    assert look_at_folder(root, None, "--dir", {}).others == (other,)
    assert look_at_folder(other, None, "--dir", {}).others == ()


def test_what_is_begun_is_not_needed_again(build: Build) -> None:
    root = build({"acestep-v15-turbo/model.safetensors": b""})
    before = look_at_folder(root, None, "--dir", {}).needed
    os.truncate(root / "acestep-v15-turbo" / "model.safetensors", 4_000_000_000)  # a hole takes no room, but is there
    assert look_at_folder(root, None, "--dir", {}).needed == before - 4_000_000_000
    assert folders._needed(Layout(root.parent / "nothing")) == (10_092_095_357, 0)


def test_what_was_begun_of_the_main_model_counts_by_its_journal(build: Build) -> None:
    """What waits in staging has come; room that a part has reserved has not, nor is another model's part of use."""
    layout = Layout(build({"vae/config.json": b"1" * 400}))
    model, other = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
    files = (
        BegunFile("vae/config.json", 400, Digest("sha256", "c" * 64)),
        BegunFile("vae/model.safetensors", 5000, Digest("sha256", "d" * 64)),
        BegunFile("acestep-v15-turbo/model.safetensors", 8 << 20, model),
    )
    write_begun(layout, Begun("main", "ACE-Step/Ace-Step1.5", {}, files))
    staged = layout.staged("vae") / "model.safetensors"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"2" * 5000)
    for digest in (model, other):
        part = PartFile.open(layout.part(digest), 8 << 20, digest, ["huggingface"])
        part.record(Piece(Span(0, 3 << 20), 0, "huggingface"))
        part.close()
    found = look_at_folder(layout.root, None, "--dir", {})
    assert found.needed == 5 << 20
    assert found.reserved == allocated_bytes(layout.part(model)) - (3 << 20)


def test_a_model_of_which_a_file_is_gone_lacks_just_that(build: Build) -> None:
    layout = Layout(build({"vae/config.json": b"1" * 400}))
    there = (layout.root / "vae" / "config.json").stat().st_mtime_ns
    files = (
        ReceiptFile("vae/config.json", "vae/config.json", 400, there, "c" * 64),
        ReceiptFile("vae/model.safetensors", "vae/model.safetensors", 5000, there, "d" * 64),
    )
    write_receipt(layout.receipts, Receipt("main", "ACE-Step/Ace-Step1.5", {}, {}, files))
    assert look_at_folder(layout.root, None, "--dir", {}).needed == 5000


def age(root: Path, seconds: float = 7200) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds,) * 2)


def mended(root: Path) -> list[str]:
    removed = list[Removal]()
    mend(Layout(root), removed.append)
    return [removal.path for removal in removed]


def test_strays_are_named_and_removed(build: Build) -> None:
    root = build({**LEFT, **sft()})
    age(root)
    lines = [f"{finding.level} {finding.detail}" for finding in of_strays(find_strays(root))]
    assert any(
        line.startswith("warn unfinished: 2 files of hf's, 4 B: ") and "abc.incomplete" in line for line in lines
    )
    assert any("modelscope's" in line and "._____temp" in line for line in lines)
    assert any("aria2's" in line for line in lines)
    assert set(mended(root)) == {*LEFT, "acestep-v15-base", "vae"}, "with them, their folders are empty"
    assert {path.name for path in root.iterdir()} == {"acestep-v15-sft"}
    assert find_strays(root) == ()
    assert mended(root) == []


def test_what_only_bears_such_a_name_or_lies_elsewhere_is_nobodys(build: Build) -> None:
    """The folder may be the wrong one: a home, or a disk of many things."""
    others = {
        "thesis/chapter.incomplete": b"mine",
        "downloads/film.aria2": b"mine",
        "downloads/._____temp/x": b"mine",
        "cache/huggingface/poetry.lock": b"mine",
        "acestep-v15-sft/notes.incomplete": b"mine",
        "acestep-v15-sft/uv.lock": b"mine",
    }
    root = build({**sft(), **others})
    age(root)
    assert find_strays(root) == ()
    assert mended(root) == []
    assert all((root / name).exists() for name in others)


def test_what_somebody_writes_to_stays(build: Build) -> None:
    root = build(LEFT)
    assert mended(root) == [], "written to a moment ago"
    age(root)
    opened = f"{HF}/abc.incomplete"
    with (root / opened).open("ab"):
        assert opened not in mended(root)
    assert (root / opened).exists()
    assert mended(root) == [opened, "vae"]


def test_what_tells_that_a_file_is_not_finished_stays(build: Build) -> None:
    root = build({**sft(), "acestep-v15-sft/model.safetensors.aria2": b"x"})
    age(root)
    (finding,) = of_strays(find_strays(root))
    assert finding.level is Level.WARN
    assert "let aria2c finish it" in finding.todo
    assert mended(root) == []


def test_the_locks_of_a_finished_download_are_no_trouble(build: Build) -> None:
    root = build({f"{HF}/config.json.lock": b"", "vae/config.json": b"{}"})
    (finding,) = of_strays(find_strays(root))
    assert finding.level is Level.OK


@pytest.mark.parametrize("name", ["acestep-v15-sft", "vae", "acestep-v15-unheard-of"])
def test_empty_folders_that_pass_for_models_go(name: str, build: Build) -> None:
    root = build({f"{name}/deep/er/": b"", "notes/": b"", "loras/mine/": b""})
    assert mended(root) == [name]
    assert {path.name for path in root.iterdir()} == {"notes", "loras"}
    assert not (root / ".acestep-fetch").exists(), "a folder that was never ours has become one"


def test_a_folder_with_anything_in_it_stays(build: Build) -> None:
    root = build({"acestep-v15-sft/deep/mine.txt": b""})
    assert mended(root) == []
    assert (root / "acestep-v15-sft" / "deep" / "mine.txt").exists()


def test_a_link_to_an_empty_folder_stays(build: Build, tmp_path: Path) -> None:
    root = build({})
    (tmp_path / "elsewhere").mkdir()
    (root / "vae").symlink_to(tmp_path / "elsewhere")
    mended(root)
    assert (tmp_path / "elsewhere").is_dir()
    assert (root / "vae").is_symlink()


def test_nothing_is_fixed_while_somebody_downloads(build: Build) -> None:
    root = build({"vae/": b"", ".acestep-fetch/": b""})
    lease = Lease.take(Layout(root).lease)
    assert isinstance(lease, Lease)
    try:
        with pytest.raises(LeaseError, match="nothing was fixed: process"):
            mended(root)
        assert (root / "vae").is_dir()
        (finding,) = of_leftovers(look_at_leftovers(Layout(root)))
        assert f"process {os.getpid()} on " in finding.detail
    finally:
        lease.release()
    assert mended(root) == ["vae"]


def test_what_an_earlier_run_of_ours_left(build: Build) -> None:
    layout = Layout(build({}))
    digest, piece = Digest("sha256", "ab" * 32), Piece(Span(0, 1 << 20), 0, "huggingface")
    part = PartFile.open(layout.part(digest), 4 << 20, digest, ["huggingface"])
    part.record(piece)
    part.close()
    (finding,) = of_leftovers(look_at_leftovers(layout))
    assert finding.level is Level.OK
    assert finding.detail == "1 file begun and not finished, 1.0 MB kept"
    layout.part(digest).unlink()
    (finding,) = of_leftovers(look_at_leftovers(layout))
    assert "1 journal without a file" in finding.detail
    mended(layout.root)
    assert list(of_leftovers(look_at_leftovers(layout))) == []
