"""A receipt is believed as long as files look as it says, and never when it cannot be understood."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from acestep_fetch.storage import platform
from acestep_fetch.storage.receipts import (
    Receipt,
    ReceiptFile,
    Standing,
    all_receipts,
    compare,
    read_receipt,
    write_atomically,
    write_receipt,
)

CONTENTS = {
    "m/model.safetensors": b"weights",
    "m/config.json": b"{}",
    "m/modeling.py": b"print()",
    "m/__init__.py": b"",
    "m/README.md": b"# m",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, data in CONTENTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def receipt_of(root: Path, model: str = "m") -> Receipt:
    files = []
    for name in CONTENTS:
        found = (root / name).stat()
        files.append(ReceiptFile(name, name, found.st_size, found.st_mtime_ns, "a" * 64))
    return Receipt(model, "o/m", {"m": "huggingface:abc"}, {"include": ["*.json"]}, tuple(files))


def test_what_was_written_is_read(root: Path) -> None:
    receipt = receipt_of(root)
    write_receipt(root / "r", receipt)
    write_receipt(root / "r", receipt_of(root, "n"))
    assert read_receipt(root / "r", "m", receipt.selection) == receipt
    assert [each.model for each in all_receipts(root / "r")] == ["m", "n"]
    assert receipt.size == sum(map(len, CONTENTS.values()))


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"!")


def emptied(path: Path) -> None:
    path.write_bytes(b"")
    touched(path)


@pytest.mark.parametrize("change", [touched, longer, emptied, Path.unlink])
@pytest.mark.parametrize("name", ["m/model.safetensors", "m/config.json"])
def test_any_change_of_weights_or_configuration_is_damage(
    root: Path, name: str, change: Callable[[Path], None]
) -> None:
    receipt = receipt_of(root)
    change(root / name)
    assert compare(receipt, root) == Standing((name,), ())


@pytest.mark.parametrize(
    ("name", "change", "standing"),
    [
        ("m/modeling.py", longer, Standing((), ("m/modeling.py",))),
        ("m/modeling.py", touched, Standing((), ("m/modeling.py",))),
        ("m/README.md", longer, Standing((), ("m/README.md",))),
        ("m/__init__.py", touched, Standing((), ("m/__init__.py",))),  # it was empty before
        ("m/modeling.py", emptied, Standing(("m/modeling.py",), ())),
        ("m/modeling.py", Path.unlink, Standing(("m/modeling.py",), ())),
    ],
)
def test_code_that_the_application_rewrote_is_drift_but_lost_code_is_damage(
    root: Path, name: str, change: Callable[[Path], None], standing: Standing
) -> None:
    receipt = receipt_of(root)
    assert compare(receipt, root) == Standing((), ())
    change(root / name)
    assert compare(receipt, root) == standing
    assert standing.ready is not bool(standing.damaged)


def test_a_model_that_was_moved_elsewhere_is_damaged_not_an_error(root: Path, tmp_path: Path) -> None:
    assert set(compare(receipt_of(root), tmp_path / "gone").damaged) == set(CONTENTS)


FILE = {"path": "p", "repo_path": "p", "size": 1, "mtime_ns": 1, "sha256": "a" * 64}
ROW = {"v": 1, "model": "m", "repo": "o/m", "commits": {}, "selection": {}, "files": [FILE]}
NOT_UNDERSTOOD = {
    "empty": b"",
    "cut": json.dumps(ROW).encode()[:-5],
    "not text": b"\xff\xfe\0\x01",
    "zeros after a loss of power": bytes(200),
    "a list": b"[]",
    "a text": b'"v"',
    "a number": b"1",
    "null": b"null",
    "no version": json.dumps({k: v for k, v in ROW.items() if k != "v"}).encode(),
    "a newer version": json.dumps(ROW | {"v": 2}).encode(),
    "a field too many": json.dumps(ROW | {"new": 1}).encode(),
    "a field too few": json.dumps({k: v for k, v in ROW.items() if k != "commits"}).encode(),
    "files that are none": json.dumps(ROW | {"files": [1]}).encode(),
    "files by name": json.dumps(ROW | {"files": {"p": FILE}}).encode(),
    "no files": json.dumps(ROW | {"files": None}).encode(),
    "a file without its size": json.dumps(ROW | {"files": [{k: FILE[k] for k in FILE if k != "size"}]}).encode(),
    "a digest that is none": json.dumps(ROW | {"files": [FILE | {"sha256": "../../x"}]}).encode(),
    "a git digest that is none": json.dumps(ROW | {"files": [FILE | {"git_sha1": "../x"}]}).encode(),
    "a model that is a path": json.dumps(ROW | {"model": "../m"}).encode(),
    "a component elsewhere": json.dumps(ROW | {"commits": {"/home": "huggingface:a"}}).encode(),
    "a component above": json.dumps(ROW | {"commits": {"..": "huggingface:a"}}).encode(),
    "a component in another": json.dumps(ROW | {"commits": {"vae/x": "huggingface:a"}}).encode(),
    "a commit that is none": json.dumps(ROW | {"commits": {"vae": 1}}).encode(),
    "no file": json.dumps(ROW | {"files": []}).encode(),
    "a file from the future": json.dumps(ROW | {"files": [FILE | {"mode": 1}]}).encode(),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_among_the_receipts_is_none_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.json")
    assert read_receipt(tmp_path, "m") is None
    (tmp_path / "n.json").symlink_to("/dev/zero")
    assert list(all_receipts(tmp_path)) == []


@pytest.mark.parametrize("data", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_receipt_that_cannot_be_understood_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.json").write_bytes(data)
    assert read_receipt(tmp_path, "m") is None
    assert list(all_receipts(tmp_path)) == []


def test_a_receipt_that_is_understood_is_one(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(ROW | {"files": [FILE]}))
    assert read_receipt(tmp_path, "m") is not None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(json.dumps(ROW | {"files": [FILE | {"path": 5}]}).encode(), id="a path that is a number"),
        pytest.param(b"[" * 200_000, id="nested without end"),
    ],
)
def test_a_receipt_of_wrong_types_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.json").write_bytes(data)
    receipt = read_receipt(tmp_path, "m")
    if receipt is not None:
        compare(receipt, tmp_path)


def test_a_receipt_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.json").mkdir()
    assert read_receipt(tmp_path, "m") is None


@pytest.mark.parametrize("step", ["write_at", "sync_data"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, system: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.json"
    write_atomically(path, b"old and longer")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(platform, step, full)
        with pytest.raises(OSError, match="No space"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old and longer"
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old and longer"  # who reads meanwhile reads one of the two, whole
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["m.json"]


def test_a_time_may_be_cut_to_the_second_and_no_further(tmp_path: Path) -> None:
    """As tar and the layers of a container image do it."""
    path = tmp_path / "weights"
    path.write_bytes(b"x")
    kept = ReceiptFile("weights", "weights", 1, 1_700_000_000_123_456_789, "a" * 64)
    receipt = Receipt("m", "o/m", {}, {}, (kept,))
    for time, ready in (
        (kept.mtime_ns, True),
        (1_700_000_000_000_000_000, True),
        (1_699_999_999_000_000_000, False),
        (1_700_000_000_123_000_000, False),
    ):
        os.utime(path, ns=(time, time))
        assert compare(receipt, tmp_path).ready is ready
