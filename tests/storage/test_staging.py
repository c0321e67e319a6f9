"""A component appears whole, or its configuration appears last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from acestep_fetch.storage import staging
from acestep_fetch.storage.staging import prune, publish, put_bytes, put_copy

FILES = {
    "config.json": b"{}",
    "model.safetensors.index.json": b"index",
    "model-00001.safetensors": b"w1",
    "sub/config.json": b"sub",
    "sub/weights.bin": b"w2",
    "modeling.py": b"code",
}


def lay(root: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        put_bytes(root / name, data)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def renames(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path]]:
    """Every rename in the order in which it happened."""
    seen: list[tuple[Path, Path]] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        seen.append((self, Path(target)))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    return seen


@pytest.fixture
def staged(tmp_path: Path, system: str) -> Path:
    return lay(tmp_path / ".state" / "staging" / "vae")


@pytest.mark.parametrize("empty", [False, True], ids=["no folder there", "an empty folder there"])
def test_a_new_component_appears_by_one_rename(
    staged: Path, tmp_path: Path, renames: list[tuple[Path, Path]], empty: bool
) -> None:
    final = tmp_path / "vae"
    if empty:
        final.mkdir()
    publish(staged, final, FILES)
    assert tree(final) == FILES
    assert renames == [(staged, final)]
    assert not staged.exists()


def test_an_existing_folder_gets_weights_first_and_configuration_last(
    staged: Path, tmp_path: Path, renames: list[tuple[Path, Path]]
) -> None:
    final = lay(tmp_path / "vae", {"mine.txt": b"keep", "config.json": b"old"})
    renames.clear()
    publish(staged, final, FILES)
    assert tree(final) == FILES | {"mine.txt": b"keep"}
    order = [str(target.relative_to(final)) for _, target in renames]
    assert set(order[:3]) == {"model-00001.safetensors", "sub/weights.bin", "modeling.py"}
    assert order[3] == "model.safetensors.index.json"
    assert set(order[4:]) == {"config.json", "sub/config.json"}
    assert not staged.exists()


def test_a_stop_half_way_leaves_the_old_configuration_and_can_go_on(
    staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = lay(tmp_path / "vae", {"config.json": b"old"})
    real, left = Path.replace, iter(range(2))

    def replace(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise OSError(5, "pulled the plug")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(OSError, match="plug"):
            publish(staged, final, FILES)
    assert (final / "config.json").read_bytes() == b"old"
    rest = tree(staged)
    assert rest.keys() | tree(final).keys() == FILES.keys()
    publish(staged, final, rest)
    assert tree(final) == FILES


def test_root_files_join_the_checkpoints_folder_and_disturb_nothing(tmp_path: Path, system: str) -> None:
    staged = lay(tmp_path / ".state" / "root-files", {"README.md": b"read", "sub/x.json": b"x"})
    lay(tmp_path / "vae", {"w": b"1"})
    publish(staged, tmp_path, ["README.md", "sub/x.json"])
    assert tree(tmp_path) == {"README.md": b"read", "sub/x.json": b"x", "vae/w": b"1"}


def test_nothing_staged_makes_no_folder(tmp_path: Path, system: str) -> None:
    (tmp_path / "staged").mkdir()
    publish(tmp_path / "staged", tmp_path / "vae", [])
    assert not (tmp_path / "vae").exists()


def test_a_staged_file_that_is_gone_publishes_nothing(staged: Path, tmp_path: Path) -> None:
    (staged / "sub" / "weights.bin").unlink()
    with pytest.raises(FileNotFoundError):
        publish(staged, tmp_path / "vae", FILES)
    assert not (tmp_path / "vae").exists()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symlinks here")
def test_a_component_on_another_disk_by_a_symlink_is_filled_where_it_is(staged: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "vae").symlink_to(tmp_path / "elsewhere")
    publish(staged, tmp_path / "vae", FILES)
    assert tree(tmp_path / "elsewhere") == FILES
    assert (tmp_path / "vae").is_symlink()


def test_pruning_leaves_what_is_to_be_kept_and_no_empty_folder(tmp_path: Path) -> None:
    staged = lay(tmp_path / "s", FILES | {"junk": b"", "old/deep/x": b"", "sub/.x.123.tmp": b""})
    prune(staged, FILES)
    assert tree(staged) == FILES
    assert {path.name for path in staged.iterdir() if path.is_dir()} == {"sub"}
    prune(staged, [])
    assert not staged.exists()
    prune(staged, [])


@pytest.mark.parametrize("name", ["w.bin", "x" * 255, "deep/er/w.bin"])
def test_bytes_and_copies_land_whole_and_leave_no_leftovers(tmp_path: Path, system: str, name: str) -> None:
    put_bytes(tmp_path / "a" / name, b"one")
    put_bytes(tmp_path / "a" / name, b"two")
    put_copy(tmp_path / "a" / name, tmp_path / "b" / name)
    assert tree(tmp_path / "b") == tree(tmp_path / "a") == {name: b"two"}
    (tmp_path / "a" / name).write_bytes(b"changed")  # a copy, never a hard link
    assert tree(tmp_path / "b") == {name: b"two"}


def test_any_name_that_a_listing_may_bring_can_be_written(tmp_path: Path) -> None:
    put_bytes(tmp_path / ("模" * 85), b"255 bytes of name")


def test_a_failed_copy_leaves_the_target_as_it_was(
    tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_bytes(tmp_path / "t", b"old")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(staging.platform, "clone", broken)
    with pytest.raises(OSError, match="Input"):
        put_copy(tmp_path / "s", tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == b"old"
