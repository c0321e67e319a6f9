"""What is said of a folder, by what lies in it: made up here, so that every state can be had without a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span
from acestep_fetch.engine.standing import KILL_COSTS, ModelState, State, models, status
from acestep_fetch.engine.upkeep import recorded
from acestep_fetch.storage.begun import Begun, BegunFile, write_begun
from acestep_fetch.storage.journal import Piece
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.parts import PartFile
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt

NAME, REPO = "acestep-v15-sft", "ACE-Step/acestep-v15-sft"
FILES = {"model.safetensors": b"w" * 5000, "config.json": b"{}" * 50}
SIZE = 5100
CATALOGUE = {model.name: model for model in load_catalogue().models}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "checkpoints")


def put(layout: Layout, folder: Path, files: Mapping[str, bytes] = FILES) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def certify(layout: Layout, name: str = NAME, repo: str = REPO, **selection: Any) -> None:
    """A receipt for what stands under the name."""
    put(layout, layout.final(name))
    files = []
    for path, data in FILES.items():
        found = (layout.final(name) / path).stat()
        files.append(ReceiptFile(f"{name}/{path}", path, found.st_size, found.st_mtime_ns, sha256(data).hexdigest()))
    write_receipt(layout.receipts, Receipt(name, repo, {name: "huggingface:x"}, selection, tuple(files)))


def begin(layout: Layout, name: str = NAME, repo: str = REPO, **selection: Any) -> Begun:
    files = [BegunFile(f"{name}/{path}", len(data), digest(data)) for path, data in FILES.items()]
    begun = Begun(name, repo, selection, tuple(files))
    write_begun(layout, begun)
    return begun


def digest(data: bytes) -> Digest:
    return Digest("sha256", sha256(data).hexdigest())


def part(layout: Layout, data: bytes, held: int) -> None:
    """An unfinished file with its first `held` bytes."""
    made = PartFile.open(layout.part(digest(data)), len(data), digest(data), ["huggingface"])
    made.record(Piece(Span(0, held), 0, "huggingface"))
    made.close()


def one(layout: Layout, name: str = NAME) -> ModelState:
    return next(model for model in models(layout) if model.name == name)


def test_nothing_is_here_and_nothing_is_made(layout: Layout) -> None:
    found = models(layout)
    assert [model.name for model in found] == list(CATALOGUE)
    assert {model.state for model in found} == {State.ABSENT, State.ANNOUNCED}
    assert one(layout).size == CATALOGUE[NAME].size
    assert one(layout).approximate
    assert (one(layout).held, one(layout).share, one(layout).here) == (0, 0.0, False)
    empty = status(layout)
    assert (empty.running, empty.asked, empty.parts, empty.complete) == (None, (), (), True)
    assert not layout.root.exists()


def test_ready_by_its_receipt_with_the_sizes_that_it_has(layout: Layout) -> None:
    certify(layout)
    state = one(layout)
    assert (state.state, state.size, state.held, state.share, state.approximate) == ("ready", SIZE, SIZE, 1.0, False)
    assert state.folders == (str(layout.final(NAME)),)
    assert status(layout).complete
    assert [asked.model for asked in status(layout).ready] == [NAME]


def test_a_folder_without_a_receipt_is_only_a_folder(layout: Layout) -> None:
    put(layout, layout.final(NAME))
    assert (one(layout).state, one(layout).held, one(layout).here) == ("folder-only", 0, True)
    assert status(layout).complete  # nobody of us began it


def test_a_receipt_for_another_repository_vouches_for_nothing(layout: Layout) -> None:
    certify(layout, repo="someone/acestep-v15-sft")
    assert one(layout).state == "folder-only"


def test_what_was_ready_and_is_altered_is_changed_and_not_complete(layout: Layout) -> None:
    certify(layout)
    (layout.final(NAME) / "model.safetensors").write_bytes(b"shorter")
    state = one(layout)
    assert (state.state, state.held) == ("changed", 100)
    assert not status(layout).complete
    begin(layout)  # somebody repairs it
    assert one(layout).state == "partial"
    assert [(asked.state, asked.held) for asked in status(layout).asked] == [("partial", 100)]


def test_a_file_whose_size_only_is_right_is_not_held_once_it_is_doubted(layout: Layout) -> None:
    certify(layout)
    os.utime(layout.final(NAME) / "model.safetensors", ns=(1, 1))
    begin(layout)
    assert one(layout).held == 100
    part(layout, FILES["model.safetensors"], 4000)
    assert one(layout).held == 4100


@pytest.mark.parametrize("where", ["final", "staged", "part"])
def test_what_was_begun_is_held_wherever_it_lies(where: str, layout: Layout) -> None:
    begin(layout)
    assert (one(layout).state, one(layout).held, one(layout).share) == ("partial", 0, 0.0)
    if where == "part":
        part(layout, FILES["model.safetensors"], 2091)
    else:
        folder = layout.final(NAME) if where == "final" else layout.staged(NAME)
        put(layout, folder, {"config.json": FILES["config.json"], "model.safetensors": b"not all of it"})
    held = 2091 if where == "part" else 100
    assert (one(layout).held, one(layout).share) == (held, held * 10_000 // SIZE / 10_000)
    found = status(layout)
    assert [(asked.model, asked.held, asked.size) for asked in found.unfinished] == [(NAME, held, SIZE)]
    assert not found.complete
    if where == "part":
        only = found.parts[0]
        assert (only.path, only.model, only.held, only.size) == (f"{NAME}/model.safetensors", NAME, 2091, 5000)
        assert abs(only.written - layout.part(digest(FILES["model.safetensors"])).stat().st_mtime) < 1


def test_a_new_version_is_not_held_because_the_old_one_is_as_large(layout: Layout) -> None:
    certify(layout)
    begun = begin(layout)
    files = [replace(file, digest=digest(b"another")) for file in begun.files]
    write_begun(layout, replace(begun, selection={"revision": "next"}, files=tuple(files)))
    found = {tuple(asked.selection): asked for asked in status(layout).asked}
    assert (found[()].state, found[()].held) == ("ready", SIZE)
    assert (found[("revision",)].state, found[("revision",)].held) == ("partial", 0)


def test_word_that_was_left_behind_makes_nothing_unready(layout: Layout) -> None:
    """As after a kill between the receipt and the end, or of a run with --force before it published anything."""
    certify(layout)
    begin(layout)
    assert one(layout).state == "ready"
    assert status(layout).complete


def test_staged_files_of_which_nobody_left_word_count_by_the_catalogue(layout: Layout) -> None:
    put(layout, layout.staged("vae"), {"model.safetensors": b"w" * 1000})
    main = one(layout, "main")
    assert (main.state, main.held, main.size) == ("partial", 1000, CATALOGUE["main"].size)
    assert {part.name: part.held for part in main.components}["vae"] == 1000


def test_components_are_told_apart(layout: Layout) -> None:
    begun = Begun(
        "main",
        "ACE-Step/Ace-Step1.5",
        {},
        (BegunFile("vae/a", 10, digest(b"a")), BegunFile("acestep-v15-turbo/b", 90, digest(b"b"))),
    )
    write_begun(layout, begun)
    put(layout, layout.final("vae"), {"a": b"0123456789"})
    main = one(layout, "main")
    found = {part.name: (part.size, part.held, part.here) for part in main.components}
    assert found["vae"] == (10, 10, True)
    assert found["acestep-v15-turbo"] == (90, 0, False)
    assert (main.state, main.share) == ("partial", 0.1)


def test_some_files_of_a_model_are_a_part_of_it_and_all_that_was_asked_for(layout: Layout) -> None:
    certify(layout, include=["*.json", "*.safetensors"])
    state = one(layout)
    assert (state.state, state.held, state.size) == ("partial", SIZE, CATALOGUE[NAME].size)
    assert status(layout).complete


def test_models_from_elsewhere_are_listed_once_they_are_here(layout: Layout) -> None:
    certify(layout, "theirs", "someone/theirs")
    begin(layout, "scragvae", "scragnog/Ace-Step-1.5-ScragVAE")
    begin(layout, "broken", "no repository")
    last = models(layout)[len(CATALOGUE) :]
    assert [(model.name, model.repo, model.state) for model in last] == [
        ("scragvae", "scragnog/Ace-Step-1.5-ScragVAE", "partial"),
        ("theirs", "someone/theirs", "ready"),
    ]
    assert "audio codec" in last[0].purpose


def test_parts_of_what_nobody_asks_for_any_more_do_not_count(layout: Layout) -> None:
    part(layout, b"old" * 1000, 1000)
    assert not status(layout).complete  # nothing else says that anything was begun
    certify(layout)
    found = status(layout)
    assert found.complete
    assert [(each.path, each.held) for each in found.parts] == [("", 1000)]


def test_who_is_at_work_is_told_and_is_not_in_the_way(layout: Layout) -> None:
    certify(layout)
    lease = Lease.take(layout.lease, ["main", NAME])
    assert isinstance(lease, Lease)
    lease.tell(5, 20)
    running = status(layout).running
    assert running is not None
    assert (running.pid, running.models, running.done, running.total) == (os.getpid(), ("main", NAME), 5, 20)
    assert not status(layout).complete
    lease.release()
    assert status(layout).complete


def test_documents_hold_plain_values_only(layout: Layout) -> None:
    certify(layout)
    begin(layout, "theirs", "someone/theirs", include=["*"])
    part(layout, FILES["model.safetensors"], 10)
    told = json.loads(json.dumps(status(layout).to_dict()))
    assert told["complete"] is False
    assert told["kill_costs"] == KILL_COSTS == 8 << 20
    assert {each["model"]: each["state"] for each in told["models"]} == {NAME: "ready", "theirs": "partial"}
    listed = json.loads(json.dumps([model.to_dict() for model in models(layout)]))
    assert next(each for each in listed if each["name"] == NAME)["share"] == 1.0


@contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """Root reads everything, so a root process is nobody meanwhile."""
    folder.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has other rights")
@pytest.mark.parametrize("place", ["root", "state"])
def test_a_folder_that_cannot_be_read_is_a_clear_error(place: str, layout: Layout) -> None:
    certify(layout)
    for look in (models, status, lambda layout: recorded(layout, ())):
        look(layout)
        with unreadable(getattr(layout, place)), pytest.raises(DiskError, match="denied"):
            look(layout)
