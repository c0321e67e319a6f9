"""`plan` and `--dry-run`: every file and where it stands, what it will take, and whether it fits. Changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import acestep_fetch
from acestep_fetch.core.errors import DiskFullError
from acestep_fetch.core.model import HubName
from acestep_fetch.engine.planning import check_space
from acestep_fetch.engine.report import FileReport, figures_of
from acestep_fetch.engine.space import SPARE, fitting, needed
from acestep_fetch.options import Options
from acestep_fetch.storage import platform
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_catalogue

GB = 1_000_000_000
MODELS = ["main", "acestep-5Hz-lm-0.6B", "acestep-v15-sft", "acestep-v15-base"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    for hub in HubName:
        make_catalogue(root / hub, scale=0.001, hub=hub, models=MODELS)
    with hubs(root / "huggingface", root / "modelscope") as served:
        yield served


def planned(both: Hubs, out: Path, *arguments: str, code: int = 0, **more: str) -> dict[str, Any]:
    ended = both.run("plan", *arguments, "--dir", str(out), "--json", **more)
    assert ended.returncode == code, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def seen(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.lstat().st_mtime_ns) for path in (folder, *folder.rglob("*")) if path.exists()}


def test_before_anything_is_there(both: Hubs, tmp_path: Path) -> None:
    plan = planned(both, tmp_path / "out", "-m", "0.6B", "--prefer-source", "modelscope")
    assert (plan["v"], plan["command"], plan["fits"]) == (1, "plan", True)
    assert plan["models"] == {"main": "planned", "acestep-5Hz-lm-0.6B": "planned"}
    assert plan["order"] == ["modelscope", "huggingface"]
    assert "prefer" in plan["why"]
    states = {row["path"]: row["state"] for row in plan["files"]}
    assert states["acestep-v15-turbo/model.safetensors"] == "fetch"
    assert states["acestep-5Hz-lm-0.6B/tokenizer.json"] == "shared"  # main's language model has the same one
    both_hubs = next(row for row in plan["files"] if row["path"] == "vae/config.json")
    assert both_hubs["sources"][0] == "modelscope"
    whole = sum(row["size"] for row in plan["files"])
    assert plan["bytes_total"] == whole == plan["bytes_fetch"] + plan["bytes_shared"]
    assert plan["disk_after"] < plan["disk_free"] - whole
    assert not (tmp_path / "out").exists()


def test_what_is_here_in_parts_and_elsewhere(both: Hubs, tmp_path: Path) -> None:
    """And what the plan says is what the run then does."""
    out, old, small = tmp_path / "out", tmp_path / "old", ("-m", "0.6B", "--skip-main")
    assert both.run(*small, "--dir", str(out), "--progress", "none").returncode == 0
    source = both.hf.hub.setup.root / "ACE-Step"
    old.mkdir()
    shutil.copy(source / "acestep-v15-sft" / "model.safetensors", old / "mine.safetensors")
    before = seen(tmp_path)
    plan = planned(both, out, "-m", "0.6B", "-m", "sft", "--adopt", str(old))
    assert seen(tmp_path) == before
    rows = {row["path"]: row for row in plan["files"]}
    assert rows["acestep-5Hz-lm-0.6B/model.safetensors"]["state"] == "here"
    assert rows["acestep-v15-sft/model.safetensors"]["state"] == "adoptable"
    assert rows["acestep-v15-sft/model.safetensors"]["origin"] == str(old / "mine.safetensors")
    assert rows["acestep-5Hz-lm-1.7B/tokenizer.json"]["state"] == "shared"
    parts = ("bytes_here", "bytes_partial", "bytes_shared", "bytes_adoptable", "bytes_fetch")
    assert plan["bytes_total"] == sum(plan[part] for part in parts)
    for hub in (both.hf, both.ms):
        hub.recorder.clear()
    ran = both.run("-m", "0.6B", "-m", "sft", "--adopt", str(old), "--dir", str(out), "--progress", "none")
    assert ran.returncode == 0, ran.stderr
    assert both.sent == plan["bytes_fetch"]
    again = planned(both, out, "-m", "0.6B", "-m", "sft", HF_ENDPOINT="http://127.0.0.1:9")  # nobody is asked
    assert (again["bytes_here"], again["bytes_fetch"], again["order"]) == (plan["bytes_total"], 0, [])


def test_the_table_is_for_people(both: Hubs, tmp_path: Path) -> None:
    for command in (["plan"], ["--dry-run"], ["get", "-n"]):
        ended = both.run(*command, "--dir", str(tmp_path / "out"))
        assert ended.returncode == 0
        assert "vae/config.json" in ended.stdout
        assert "main: 28 files, 10.8 MB\n10.8 MB to fetch\nhubs: Hugging Face, then ModelScope (" in ended.stdout
        assert "\ndisk: " in ended.stdout
        assert not {"\r", "\x1b"} & set(ended.stdout + ended.stderr)


def test_other_folders_are_pointed_out_by_size(both: Hubs, tmp_path: Path) -> None:
    models = tmp_path / "ComfyUI" / "models"
    models.mkdir(parents=True)
    source = both.hf.hub.setup.root / "ACE-Step" / "Ace-Step1.5" / "acestep-v15-turbo"
    shutil.copy(source / "model.safetensors", models / "turbo.safetensors")
    ended = both.run("plan", "--dir", str(tmp_path / "out"), HOME=str(tmp_path))
    assert "4.8 MB of it may be on this machine already" in ended.stderr
    assert str(models) in ended.stderr


def test_too_small_a_disk_ends_with_7_and_with_what_fits(both: Hubs, tmp_path: Path) -> None:
    room = SPARE + 17_000_000  # main and two more of 4.8 MB would need over 20
    small = f"from acestep_fetch.storage import platform; platform.free_bytes = lambda folder: {room}"
    arguments = ["-m", "base", "-m", "0.6B", "-m", "sft", "--dir", str(tmp_path / "out")]
    process = both.start("plan", "--json", *arguments, patch=small)
    out, err = process.communicate(timeout=60)
    plan = json.loads(out)
    assert (process.returncode, plan["fits"], plan["error"]["name"]) == (7, False, "disk-full")
    assert plan["disk_free"] == room
    assert plan["disk_after"] < 0
    assert plan["fitting"] == ["main", "acestep-5Hz-lm-0.6B"]
    assert "this would fit: --model acestep-5Hz-lm-0.6B\n" in err
    table = both.start("plan", *arguments, patch=small)
    text, err = table.communicate(timeout=60)
    assert "fits: main, acestep-5Hz-lm-0.6B" in text
    assert "missing, in " in text
    real = both.start(*arguments, "--progress", "plain", patch=small)
    _, err = real.communicate(timeout=60)
    assert real.returncode == 7
    assert "this would fit: --model acestep-5Hz-lm-0.6B\n" in err
    assert not list((tmp_path / "out").rglob("*.part"))


def test_from_python(both: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in both.environment().items():
        monkeypatch.setenv(name, value)
    options = Options.from_environment(directory=tmp_path / "out")
    plan = acestep_fetch.plan(options=options)
    assert plan.fits
    assert plan.fitting == ("main",)
    assert plan.bytes_fetch == sum(row.size for row in plan.files) == plan.to_dict()["bytes_total"]
    assert json.dumps(plan.to_dict())


def row(model: str, size: int, state: str = "fetch", taken: int = 0) -> FileReport:
    return FileReport(model, f"{model}/{size}", size, state, (), taken=taken)


def test_what_is_needed() -> None:
    rows = [
        row("a", 5),
        row("a", 7, "here"),
        row("a", 9, "shared"),
        row("a", 11, "partial", 4),
        row("a", 3, "adoptable", 3),
    ]
    assert needed(rows) == SPARE + 5 + 9 + 7
    figures = figures_of([*rows[:3], replace(rows[3], held=4), rows[4]])
    assert (figures.here, figures.shared, figures.partial, figures.fetch, figures.adoptable) == (7, 9, 4, 12, 3)
    assert figures.total == 35


def test_what_fits_is_main_and_then_as_many_as_possible() -> None:
    rows = [row("b", 8 * GB), row("main", 10 * GB), row("c", 3 * GB), row("d", 4 * GB)]
    assert fitting(rows, 26 * GB) == ("b", "main", "c", "d")
    assert fitting(rows, 18 * GB) == ("main", "c", "d")
    assert fitting(rows, 13 * GB + SPARE) == ("main", "c")
    assert fitting(rows, 9 * GB) == ()  # without main the others are of no use
    assert fitting([each for each in rows if each.model != "main"], 9 * GB) == ("c", "d")


def test_for_a_gpu(both: Hubs, tmp_path: Path) -> None:
    """It chooses models; main comes along as it always does, and --model adds to them."""
    ended = both.run("plan", "--for-gpu", "7GB", "--dir", str(tmp_path / "out"), "--json")
    assert list(json.loads(ended.stdout)["models"]) == ["main", "acestep-5Hz-lm-0.6B"]
    ended = both.run("plan", "--for-gpu", "-m", "base", "--dir", str(tmp_path / "out"), MAX_CUDA_VRAM="11")
    assert ended.returncode == 0
    assert "for this GPU (MAX_CUDA_VRAM is 11): main, acestep-v15-sft, acestep-5Hz-lm-0.6B" in ended.stderr
    assert "8 to 12 GB: turbo or sft DiT" in ended.stderr
    assert "main, acestep-v15-base, acestep-v15-sft, acestep-5Hz-lm-0.6B: " in ended.stdout


def test_what_fits_without_the_main_model_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "free_bytes", lambda folder: 6 * GB)
    rows = [FileReport(name, f"{name}/x", size * GB, "fetch", ()) for name, size in (("main", 10), ("Repo", 5))]
    with pytest.raises(DiskFullError) as caught:
        check_space(rows, tmp_path, 0, {"Repo": "made/Repo"})
    assert str(caught.value.hint).endswith("this would fit: --model made/Repo --skip-main")
