"""`repair` where the hubs have moved on: a model stays the version that it is, or it is said that this cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.engine.recorded import record_of
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import all_receipts, write_receipt
from tests.cli.test_upkeep import flip
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import content_of, make_repo, tree_digests

MIB = 1 << 20
REPO = "made/Repo"
# vocab.json is large, and of a kind that Hugging Face lists by git's digest only
FILES: dict[str, bytes | int] = {"large.bin": 12 * MIB, "vocab.json": 3 * MIB, "notes.txt": 900, "config.json": 300}
NEWER = {"config.json": b'{"newer": true}', "more.bin": 70_000}


@contextmanager
def moving(tmp_path: Path) -> Iterator[tuple[Hubs, Path]]:
    """A finished download from two hubs, each with a repository of its own, that may be changed."""
    for hub in ("hf", "ms"):
        make_repo(tmp_path / hub, REPO, FILES)
    out = tmp_path / "out"
    with hubs(tmp_path / "hf", tmp_path / "ms", rescan_after=0.0) as pair:
        ended = fetched(pair, out)
        assert ended.returncode == 0, ended.stderr
        forget(pair)
        yield pair, out


def fetched(pair: Hubs, out: Path, *more: str) -> Any:
    return pair.run("--model", REPO, "--skip-main", "--dir", str(out), "--progress", "none", *more)


def repaired(pair: Hubs, out: Path, **more: str) -> Any:
    return pair.run("repair", "--dir", str(out), "--progress", "plain", **more)


def forget(pair: Hubs) -> None:
    for hub in (pair.hf, pair.ms):
        hub.recorder.clear()


def update(tmp_path: Path, hub: str, files: dict[str, bytes | int]) -> None:
    for name in files:
        (tmp_path / hub / REPO / name).unlink(missing_ok=True)
    make_repo(tmp_path / hub, REPO, files)


def test_the_receipt_knows_what_both_hubs_had(tmp_path: Path) -> None:
    with moving(tmp_path) as (_, out):
        (receipt,) = all_receipts(Layout(out).receipts)
        assert set(receipt.snapshots) == {"huggingface", "modelscope"}
        assert all(len(commit) == 40 for commit in receipt.snapshots.values())
        record = record_of(receipt)
        assert record
        assert record.pins == receipt.snapshots


@pytest.mark.parametrize("damaged", ["large.bin", "vocab.json", "notes.txt"])
@pytest.mark.parametrize("gone", [False, True], ids=["commit there", "commit gone"])
def test_a_repair_is_no_update(damaged: str, gone: bool, tmp_path: Path) -> None:
    """Both hubs have a new version; what is damaged is the same in it."""
    with moving(tmp_path) as (pair, out):
        before = tree_digests(out / "Repo")
        for hub in ("hf", "ms"):
            update(tmp_path, hub, NEWER)
        if gone:
            forget_commits(out)
        flip(out / "Repo" / damaged, 5)
        ended = repaired(pair, out)
        assert ended.returncode == 0, ended.stderr
        assert ("does not have" in ended.stderr) == gone
        assert tree_digests(out / "Repo") == before
        assert pair.sent <= 3 * MIB
        forget(pair)
        assert pair.run("verify", "--dir", str(out)).returncode == 0
        (receipt,) = all_receipts(Layout(out).receipts)
        assert "more.bin" not in {file.repo_path for file in receipt.files}
        assert fetched(pair, out).returncode == 0  # still up to date by its receipt
        assert pair.sent == 0
        assert fetched(pair, out, "--force").returncode == 0
        assert tree_digests(out / "Repo") == tree_digests(tmp_path / "hf" / REPO)


def forget_commits(out: Path) -> None:
    """The hubs of the tests know the last commits only while they run: the receipt names others instead."""
    (receipt,) = all_receipts(Layout(out).receipts)
    hub = receipt.commits["Repo"].partition(":")[0]
    other = {"huggingface": "a" * 40, "modelscope": "b" * 40}
    changed = replace(receipt, commits={"Repo": f"{hub}:{other[hub]}"}, snapshots=other)
    write_receipt(Layout(out).receipts, changed)


def test_what_one_hub_still_has_comes_from_there(tmp_path: Path) -> None:
    with moving(tmp_path) as (pair, out):
        before = tree_digests(out / "Repo")
        update(tmp_path, "hf", {**NEWER, "large.bin": content_of("another", 12 * MIB)})
        flip(out / "Repo" / "large.bin", 5)
        ended = repaired(pair, out, ACESTEP_FETCH_PREFER_SOURCE="huggingface")
        assert ended.returncode == 0, ended.stderr
        assert tree_digests(out / "Repo") == before
        assert sum(entry.sent for entry in pair.ms.recorder.entries if entry.kind.value == "content") > 0


@pytest.mark.parametrize("gone", [False, True], ids=["commit there", "commit gone"])
def test_what_no_hub_has_any_more_is_said(gone: bool, tmp_path: Path) -> None:
    with moving(tmp_path) as (pair, out):
        for hub in ("hf", "ms"):
            update(tmp_path, hub, {**NEWER, "large.bin": content_of("another", 12 * MIB)})
        if gone:
            forget_commits(out)
        flip(out / "Repo" / "large.bin", 5)
        before = tree_digests(out / "Repo")
        ended = repaired(pair, out)
        assert ended.returncode == 3, ended.stderr
        assert "large.bin" in ended.stderr
        assert (
            "`acestep-fetch --skip-main --model made/Repo` replaces what differs with the newest version"
            in ended.stderr
        )
        assert tree_digests(out / "Repo") == before
        assert pair.sent < 10_000  # what the hubs say of it
        assert fetched(pair, out).returncode == 0
        assert tree_digests(out / "Repo") == tree_digests(tmp_path / "hf" / REPO)


def test_a_file_that_belongs_to_the_application_is_taken_as_it_is_now(tmp_path: Path) -> None:
    """The user's own version was recorded, and was lost: no hub ever had it."""
    files = {**FILES, "code.py": 4000}
    for hub in ("hf", "ms"):
        make_repo(tmp_path / hub, REPO, files)
    out = tmp_path / "out"
    (out / "Repo").mkdir(parents=True)
    (out / "Repo" / "code.py").write_text("# mine\n")
    with hubs(tmp_path / "hf", tmp_path / "ms") as pair:
        assert fetched(pair, out).returncode == 0
        assert (out / "Repo" / "code.py").read_text() == "# mine\n"
        (out / "Repo" / "code.py").write_bytes(b"")
        ended = repaired(pair, out)
        assert ended.returncode == 0, ended.stderr
    assert tree_digests(out / "Repo") == tree_digests(tmp_path / "hf" / REPO)


def test_a_receipt_of_an_older_program_does(tmp_path: Path) -> None:
    """It names the commit of the hub that was the truth, and no other."""
    with moving(tmp_path) as (pair, out):
        (file,) = Layout(out).receipts.glob("*.json")
        row = json.loads(file.read_text())
        del row["snapshots"]
        file.write_text(json.dumps(row))
        update(tmp_path, "hf", NEWER)
        update(tmp_path, "ms", NEWER)
        before = tree_digests(out / "Repo")
        flip(out / "Repo" / "large.bin", 5)
        assert repaired(pair, out).returncode == 0
        assert tree_digests(out / "Repo") == before
