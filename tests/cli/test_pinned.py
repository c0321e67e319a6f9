"""A model that was fetched with ``--revision``: it is the model, and stays the version that was asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.client import calls
from acestep_fetch.compat import model_downloader
from acestep_fetch.core.model import HubName
from acestep_fetch.storage import receipts
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import all_receipts, read_receipt, write_receipt
from tests.cli.test_upkeep import flip
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_catalogue, make_repo, tree_digests

NAME = "acestep-v15-sft"
REPO = f"ACE-Step/{NAME}"
FILES: dict[str, bytes | int] = {"model.safetensors": 200_000, "config.json": b'{"version": 1}'}
NEWER: dict[str, bytes | int] = {"config.json": b'{"version": 2}'}
ONLY = ("--skip-main", "--model", "sft")


@dataclass(frozen=True)
class World:
    hubs: Hubs
    tmp: Path
    old: str  # the commit that Hugging Face has at first

    @property
    def out(self) -> Path:
        return self.tmp / "out"

    def release(self) -> str:
        """Both hubs have a newer version from now on. Returns Hugging Face's commit."""
        for hub in ("hf", "ms"):
            (self.tmp / hub / REPO / "config.json").unlink()
            make_repo(self.tmp / hub, REPO, NEWER)
        return self.last_commit()

    def last_commit(self) -> str:
        with tempfile.TemporaryDirectory(dir=self.tmp) as there:
            ended = self.hubs.run("--dir", there, *ONLY)
            assert ended.returncode == 0, ended.stderr
            (receipt,) = all_receipts(Layout(Path(there)).receipts)
            return receipt.snapshots["huggingface"]

    def run(self, *arguments: str) -> Any:
        command, more = ((arguments[0],), arguments[1:]) if not arguments[0].startswith("-") else ((), arguments)
        return self.hubs.run(*command, "--dir", str(self.out), *more)

    def got(self, *arguments: str) -> Any:
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended

    @property
    def version(self) -> int:
        return int(json.loads((self.out / NAME / "config.json").read_text())["version"])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for hub in ("hf", "ms"):
        make_repo(tmp_path / hub, REPO, FILES)
        make_catalogue(tmp_path / hub, scale=1e-5, hub=HubName.HUGGINGFACE, models=["main"])
    with hubs(tmp_path / "hf", tmp_path / "ms", rescan_after=0.0) as pair:
        world = World(pair, tmp_path, "")
        yield replace(world, old=world.last_commit())


def is_ready_everywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = json.loads(world.got("list", "--installed", "--json").stdout)["models"]
    assert (row["name"], row["state"], row["share"]) == (NAME, "ready", 1.0)
    assert [m.state for m in calls.models(dir=world.out) if m.name == NAME] == ["ready"]
    assert world.got("wait", NAME, "--timeout", "0").stdout.strip() == str(world.out / NAME)
    world.got("--check", *ONLY)
    world.got("status")
    world.got("verify")
    with monkeypatch.context() as patch:
        for name, value in world.hubs.environment().items():
            patch.setenv(name, value)
        patch.setenv("ACESTEP_CHECKPOINTS_DIR", str(world.out))
        assert model_downloader.check_model_exists(NAME)
        assert model_downloader.ensure_dit_model(NAME)[0]
        assert calls.ensure(NAME, dir=world.out) == (world.out / NAME,)
    assert json.loads(world.got("doctor", "--offline", "--json").stdout)["ok"]


def test_it_is_ready_everywhere_and_not_updated_without_being_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.got(*ONLY, "--revision", world.old)
    before = tree_digests(world.out)
    world.release()
    is_ready_everywhere(world, monkeypatch)
    world.got(*ONLY)
    world.got(*ONLY, "--offline")
    world.got(*ONLY, "--revision", world.old, "--offline")
    assert tree_digests(world.out) == before
    assert world.version == 1


def test_another_revision_changes_it_and_there_is_one_receipt(world: World) -> None:
    world.got(*ONLY, "--revision", world.old)
    new = world.release()
    assert new != world.old
    assert world.run("--check", *ONLY, "--revision", new).returncode == 11
    ended = world.run(*ONLY, "--revision", new, "--offline")
    assert (ended.returncode, world.old in ended.stderr) == (11, True)
    world.got(*ONLY, "--revision", new)
    assert world.version == 2
    (receipt,) = all_receipts(Layout(world.out).receipts)
    assert receipt.selection == {"revision": new}
    assert world.run("--check", *ONLY, "--revision", world.old).returncode == 11
    world.got(*ONLY, "--force")
    (receipt,) = all_receipts(Layout(world.out).receipts)
    assert receipt.selection == {}
    assert list(Layout(world.out).begun.iterdir()) == []


def test_a_repair_keeps_it(world: World) -> None:
    world.got(*ONLY, "--revision", world.old)
    before = tree_digests(world.out)
    world.release()
    flip(world.out / NAME / "model.safetensors", 5)
    assert world.run("--check", *ONLY).returncode == 0  # by size and time it is what it was
    world.got("repair")
    assert tree_digests(world.out) == before
    (receipt,) = all_receipts(Layout(world.out).receipts)
    assert receipt.selection == {"revision": world.old}


def test_some_of_its_files_are_no_model(world: World) -> None:
    world.got(*ONLY, "--revision", world.old, "--include", "*.json")
    assert world.run("--check", *ONLY).returncode == 11
    assert world.run("wait", NAME, "--timeout", "0").returncode == 11
    world.got("--check", *ONLY, "--revision", world.old, "--include", "*.json")
    assert not model_downloader.check_model_exists(NAME, world.out)
    world.got(*ONLY, "--revision", world.old)
    assert len(list(all_receipts(Layout(world.out).receipts))) == 2
    world.got("--check", *ONLY, "--include", "*.safetensors")  # a whole model has them


def test_a_receipt_that_is_named_by_its_revision_counts_until_there_is_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older program wrote it."""
    world.got(*ONLY, "--revision", world.old)
    folder = Layout(world.out).receipts
    old = (folder / f"{NAME}.json").rename(folder / f"{NAME}@12345678.json")
    before = tree_digests(world.out)
    world.release()
    is_ready_everywhere(world, monkeypatch)
    world.got(*ONLY)
    assert tree_digests(world.out) == before
    world.got(*ONLY, "--revision", world.last_commit())
    assert not old.exists()
    assert world.version == 2


def test_a_receipt_of_a_selection_stays_where_the_whole_models_is_written(world: World) -> None:
    world.got(*ONLY)
    folder = Layout(world.out).receipts
    whole = read_receipt(folder, NAME)
    assert whole
    some = replace(whole, selection={"revision": "x", "exclude": ["*.py"]})
    write_receipt(folder, some)
    write_receipt(folder, whole)
    assert list(receipts.receipts_for(folder, NAME, some.selection)) == [some]
    assert list(receipts.receipts_for(folder, NAME, {"revision": "x"})) == []
    assert list(receipts.receipts_for(folder, NAME, {})) == [whole]


def test_the_revision_is_that_of_the_models_that_are_named(world: World) -> None:
    world.got("--model", "sft", "--revision", world.old)
    assert world.version == 1
    found = {receipt.model: receipt.selection for receipt in all_receipts(Layout(world.out).receipts)}
    assert found == {"main": {}, NAME: {"revision": world.old}}
    world.got("--check", "--model", "sft", "--revision", world.old)
    world.got("--check")
    ended = world.run("--model", "main", "--model", "sft", "--revision", world.old)  # main is named, too
    assert ended.returncode == 3
    assert "ACE-Step/Ace-Step1.5: no hub has this revision" in ended.stderr


def test_a_revision_that_is_nowhere_is_called_that(world: World) -> None:
    ended = world.run("--model", "sft", "--revision", "f" * 40)
    assert ended.returncode == 3, ended.stderr
    assert f"{REPO}: no hub has this revision" in ended.stderr
    ended = world.run("--revision", world.old)
    assert ended.returncode == 3, ended.stderr
    assert "ACE-Step/Ace-Step1.5: no hub has this revision" in ended.stderr
    assert world.old in ended.stderr
