"""What ACE-Step takes for installed, and what is true: both generations of its check, on folders as they are found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from acestep_fetch.doctor.belief import look_at_models, of_models
from acestep_fetch.doctor.findings import Finding, Level
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt
from tests.doctor.conftest import Build, index, safetensors, sft

NAME = "acestep-v15-sft"
XL = "acestep-v15-xl-sft"


def findings(root: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in of_models(look_at_models(root))}


def without(name: str) -> dict[str, bytes]:
    return {path: content for path, content in sft().items() if not path.endswith(name)}


def xl(*there: str, named: tuple[str, ...] = ("a.safetensors", "b.safetensors")) -> dict[str, bytes]:
    files = {f"{XL}/{path.partition('/')[2]}": content for path, content in without("model.safetensors").items()}
    files |= {f"{XL}/model.safetensors.index.json": index(*named)}
    return files | {f"{XL}/{shard}": safetensors() for shard in there}


@pytest.mark.parametrize(
    ("files", "who", "why"),
    [
        ({f"{NAME}/": b""}, "An older ACE-Step", "the folder is empty"),
        ({f"{NAME}/deep/er/": b""}, "An older ACE-Step", "the folder is empty"),
        (without("model.safetensors"), "An older ACE-Step", "model.safetensors is missing"),
        (without("silence_latent.pt"), "ACE-Step would", "silence_latent.pt is missing"),
        ({**sft(), f"{NAME}/silence_latent.pt": b""}, "ACE-Step would", "silence_latent.pt is empty"),
        (without("config.json"), "ACE-Step would", "config.json is missing"),
        ({**sft(), f"{NAME}/config.json": b"<html>"}, "ACE-Step would", "config.json is no JSON"),
        (without(".py"), "ACE-Step would", "modeling_*.py is missing"),
        ({**sft(), f"{NAME}/model.safetensors": safetensors(64, cut=9)}, "ACE-Step would", "by its own header"),
        ({**sft(), f"{NAME}/model.safetensors": b"version https://git-lfs"}, "ACE-Step would", "it has no header"),
        ({**sft(), f"{NAME}/model.safetensors": b""}, "ACE-Step would", "model.safetensors is empty"),
        ({**sft(), f"{NAME}/model.safetensors.aria2": b"x"}, "ACE-Step would", "is unfinished: aria2"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_would_die_at_load(files: dict[str, bytes], who: str, why: str, build: Build) -> None:
    found = findings(build(files))[NAME]
    assert found.level is Level.FAIL
    assert found.detail.startswith(who)
    assert "take it for installed, and it would die at load" in found.detail
    assert why in found.detail
    assert found.todo == f"acestep-fetch --model {NAME}"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (xl(), "2 of the 2 files that model.safetensors.index.json names are missing: a.safetensors, b.safetensors"),
        (xl("a.safetensors"), "1 of the 2 files that model.safetensors.index.json names are missing: b.safetensors"),
        (xl("a.safetensors", named=()), "model.safetensors.index.json names no files"),
    ],
)
def test_an_index_without_its_shards_passes_for_a_model(files: dict[str, bytes], why: str, build: Build) -> None:
    found = findings(build(files))[XL]
    assert found.level is Level.FAIL
    assert found.detail == f"ACE-Step would take it for installed, and it would die at load: {why}"


def test_a_whole_folder_that_nobody_has_verified(build: Build) -> None:
    found = findings(build(sft()))[NAME]
    assert (found.level, found.detail) == (Level.OK, "whole as far as its own files tell, and never verified")
    assert f"acestep-fetch --model {NAME} (verifies it" in found.todo
    assert findings(build(xl("a.safetensors", "b.safetensors")))[XL].level is Level.OK


def test_a_model_of_ones_own(build: Build) -> None:
    root = build(sft("acestep-v15-mine"))
    assert findings(root)["acestep-v15-mine"].level is Level.OK
    (root / "acestep-v15-mine" / "model.safetensors").unlink()
    found = findings(root)["acestep-v15-mine"]
    assert found.level is Level.FAIL
    assert "no hub is known to have it" in found.todo


def test_folders_that_are_no_models_are_nobodys_business(build: Build) -> None:
    assert set(findings(build({"loras/a.safetensors": b"", "acestep-v15": b"a file"}))) == {"models"}
    assert set(findings(Path("/nonexistent/checkpoints"))) == {"models"}


def _receive(root: Path, model: str = NAME, repo: str = f"ACE-Step/{NAME}") -> None:
    """A receipt for all that is there."""
    files = list[ReceiptFile]()
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        name, at = path.relative_to(root).as_posix(), path.stat()
        files.append(ReceiptFile(name, name, at.st_size, at.st_mtime_ns, "0" * 64))
    components = {file.path.partition("/")[0]: "huggingface:c0ffee" for file in files}
    write_receipt(Layout(root).receipts, Receipt(model, repo, components, {}, tuple(files)))


def test_a_receipt_is_the_truth(build: Build) -> None:
    """What its own files say counts for nothing then: a receipt has seen every byte."""
    root = build({**sft(), f"{NAME}/model.safetensors": b"not even a header"})
    _receive(root)
    assert findings(root)[NAME] == Finding(Level.OK, NAME, "verified, and still what it was")


def test_what_changed_since_it_was_verified(build: Build) -> None:
    root = build(sft())
    _receive(root)
    (root / NAME / "modeling_acestep_v15_base.py").write_text("# by ACE-Step")
    drifted = findings(root)[NAME]
    assert drifted.level is Level.OK
    assert "1 changed by ACE-Step, which is no damage" in drifted.detail
    (root / NAME / "silence_latent.pt").unlink()
    damaged = findings(root)[NAME]
    assert damaged.level is Level.FAIL
    assert f"changed or missing since it was verified: {NAME}/silence_latent.pt" in damaged.detail
    assert damaged.todo == f"acestep-fetch repair {NAME}"


def test_a_model_that_was_verified_and_is_gone(build: Build) -> None:
    root = build(sft())
    _receive(root)
    (root / NAME).rename(root / "elsewhere")
    gone = findings(root)[NAME]
    assert gone.level is Level.FAIL
    assert "ACE-Step would fetch the model again" in gone.detail
    assert gone.todo == f"acestep-fetch repair {NAME}"


def test_a_receipt_that_cannot_be_read_is_none(build: Build) -> None:
    root = build({**sft(), f".acestep-fetch/receipts/{NAME}.json": json.dumps({"v": 1}).encode()})
    assert "never verified" in findings(root)[NAME].detail


def test_a_main_model_of_which_a_part_is_missing(build: Build) -> None:
    found = findings(build({**sft(), "vae/config.json": b"{}"}))
    assert found["main"].level is Level.WARN
    assert found["main"].detail.startswith("Qwen3-Embedding-0.6B, acestep-v15-turbo, acestep-5Hz-lm-1.7B not here")
    assert found["vae"].todo == "acestep-fetch"
    assert "diffusion_pytorch_model.safetensors is missing" in found["vae"].detail


def test_what_cannot_be_read_is_told(build: Build) -> None:
    root = build(sft())
    (root / NAME / "model.safetensors").unlink()
    os.mkdir(root / NAME / "model.safetensors")
    found = findings(root)[NAME]
    assert found.level is Level.FAIL
    assert "model.safetensors cannot be read: Is a directory" in found.detail


def test_a_copy_with_other_times_is_not_called_broken(build: Build) -> None:
    root = build(sft())
    _receive(root)
    path = root / NAME / "config.json"
    os.utime(path, (1, 1))
    found = findings(root)[NAME]
    assert found.level is Level.WARN
    assert "all there, with other times" in found.detail
    assert f"repair {NAME}" in found.todo
    path.write_bytes(b"{  }")
    assert findings(root)[NAME].level is Level.FAIL
