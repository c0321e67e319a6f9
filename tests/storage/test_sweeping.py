"""What `clean` would drop: all that is unfinished, nothing that is finished, nothing that is not ours."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from acestep_fetch.core.model import Digest
from acestep_fetch.storage.begun import Begun, BegunFile, write_begun
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import PartFile
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt
from acestep_fetch.storage.sweeping import drop, leftovers, sweep


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "c")
    layout.state.mkdir(parents=True)
    return layout


def digest(text: str) -> Digest:
    return Digest("sha256", sha256(text.encode()).hexdigest())


def everything(layout: Layout) -> set[str]:
    return {path.relative_to(layout.root).as_posix() for path in layout.root.rglob("*") if not path.is_dir()}


def unfinished(layout: Layout) -> None:
    """A part, a staged file and its journal, a published component of a model that is not ready, and the word of it."""
    part = PartFile.open(layout.part(digest("part")), 100_000, digest("part"), ["huggingface"])
    part.close()
    for folder, journal in ((layout.staged("m"), "staged"), (layout.final("m2"), "final")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(journal)
        layout.kept_journals.mkdir(exist_ok=True)
        layout.pieces(digest(journal)).write_text("pieces")
    names = {"m/large": "part", "m/file": "staged", "m2/file": "final"}
    files = tuple(BegunFile(path, 6, digest(text)) for path, text in names.items())
    write_begun(layout, Begun("m", "o/m", {}, files))


def finished(layout: Layout) -> None:
    layout.final("ready").mkdir()
    (layout.final("ready") / "file").write_text("ready")
    layout.kept_journals.mkdir(exist_ok=True)
    layout.pieces(digest("ready")).write_text("pieces")
    file = ReceiptFile(
        "ready/file", "file", 5, (layout.final("ready") / "file").stat().st_mtime_ns, digest("ready").hex
    )
    write_receipt(layout.receipts, Receipt("ready", "o/ready", {}, {}, (file,)))


def test_only_what_is_unfinished_goes(layout: Layout) -> None:
    finished(layout)
    before = everything(layout)
    assert leftovers(layout) == []
    unfinished(layout)
    found = leftovers(layout)
    assert {each.what for each in found} >= {"what there is of m/large", "finished files of m, which is not"}
    assert next(each for each in found if "m/large" in each.what).size >= 100_000
    for each in found:
        drop(each)
        drop(each)  # whoever was quicker
    final = layout.pieces(digest("final")).relative_to(layout.root).as_posix()
    assert everything(layout) == {*before, "m2/file", final}


def test_the_journals_of_finished_files_go_when_they_are_asked_for(layout: Layout) -> None:
    finished(layout)
    for each in leftovers(layout, journals=True):
        drop(each)
    assert everything(layout) == {"ready/file", ".acestep-fetch/receipts/ready.json"}


@pytest.mark.parametrize("name", ["parts", "staging", "begun", "pieces", "receipts"])
def test_nothing_behind_a_link_is_touched(name: str, layout: Layout, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for file in (f"{'a' * 64}.part", f"{'a' * 64}.journal", "x.json", ".1-1.tmp"):
        (theirs / file).write_text("theirs")
    (layout.state / name).symlink_to(theirs)
    assert leftovers(layout, journals=True) == []
    sweep(layout)
    assert len(list(theirs.iterdir())) == 4


def test_a_link_in_the_place_of_our_folder_is_not_followed(tmp_path: Path) -> None:
    layout, theirs = Layout(tmp_path), Layout(tmp_path / "theirs")
    theirs.state.mkdir(parents=True)
    unfinished(theirs)
    layout.state.symlink_to(theirs.state)
    assert leftovers(layout) == []


def test_a_link_among_what_is_staged_goes_and_what_it_leads_to_stays(layout: Layout, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    layout.staging.mkdir()
    (layout.staging / "m").symlink_to(theirs)
    for each in leftovers(layout):
        drop(each)
    assert list(layout.staging.iterdir()) == []
    assert (theirs / "file").exists()


def test_a_sweep_takes_what_a_loss_of_power_left_and_no_more(layout: Layout) -> None:
    unfinished(layout)
    before = everything(layout)
    layout.receipts.mkdir()
    for path in (layout.receipts / ".1-2.tmp", layout.begun / ".1-3.tmp", layout.parts / f"{'b' * 64}.journal"):
        path.write_text("torn")
    assert everything(layout) > before
    sweep(layout)
    assert everything(layout) == before
