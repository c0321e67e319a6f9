"""`recommend` and `--for-gpu`: the vendors' tools are asked as they are, here scripts that print what those print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.core.errors import UsageError
from acestep_fetch.engine import gpu
from acestep_fetch.engine.gpu import recommend
from tests.cli.test_program import HEAVY, WATCHED

MIB, GIB = 1 << 20, 1 << 30
SMALL, SFT, XL_TURBO = "acestep-5Hz-lm-0.6B", "acestep-v15-sft", "acestep-v15-xl-turbo"

TWO_CARDS = """\
12288, NVIDIA GeForce RTX 3060
24564, NVIDIA GeForce RTX 4090
"""
ROCM = json.dumps(
    {
        "card0": {
            "VRAM Total Memory (B)": "25753026560",
            "VRAM Total Used Memory (B)": "1762021376",
            "Card Series": "Navi 31 [Radeon RX 7900 XT/7900 XTX/7900M]",
        },
        "card1": {"VRAM Total Memory (B)": "536870912", "VRAM Total Used Memory (B)": "27500544"},
        "system": {"Driver version": "6.7.0"},
    }
)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder that is all of PATH."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def install(tools: Path, name: str, *, out: str = "", err: str = "", code: int = 0, before: str = ":") -> None:
    for stream, text in (("out", out), ("err", err)):
        (tools / f"{name}.{stream}").write_text(text)
    script = tools / name
    script.write_text(
        f'#!/bin/sh\necho "$@" > {tools}/{name}.asked\n{before}\n'
        f"/bin/cat {tools}/{name}.out\n/bin/cat {tools}/{name}.err >&2\nexit {code}\n"
    )
    script.chmod(0o755)


def found(tools: Path, **environ: str) -> gpu.Recommendation:
    return recommend("auto", {"PATH": str(tools), **environ})


@pytest.mark.parametrize(
    ("gigabytes", "models"),
    [
        ("0", ("main",)),
        ("6", ("main",)),
        ("8GB", ("main", SMALL)),
        ("11", ("main", SFT, SMALL)),
        ("12GB", ("main", SFT, SMALL)),
        ("15 GiB", ("main", SFT)),
        ("15.5", ("main", SFT)),
        ("20g", ("main", XL_TURBO)),
        ("24GB", ("main", "acestep-v15-xl-sft", "acestep-5Hz-lm-4B")),
        ("80", ("main", "acestep-v15-xl-sft", "acestep-5Hz-lm-4B")),
    ],
)
def test_the_tiers(gigabytes: str, models: tuple[str, ...]) -> None:
    chosen = recommend(gigabytes)
    assert chosen.models == models
    assert "GB" in chosen.why


def test_a_card_counts_as_what_it_is_sold_as() -> None:
    assert recommend("15.5").also == (XL_TURBO,)  # ACE-Step's own tolerance for cards of 16 GB
    assert recommend("15.4").also == ()


def test_every_tier_names_models_of_the_catalogue() -> None:
    catalogue = load_catalogue()
    assert [tier.upto for tier in catalogue.tiers] == [*sorted(t.upto for t in catalogue.tiers if t.upto), None]
    for tier in catalogue.tiers:
        for name in (*tier.models, *tier.also):
            assert catalogue.find(name).name == name


@pytest.mark.parametrize("text", ["much", "-3", "12TB", "", "1e9"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(UsageError, match="not an amount of GPU memory"):
        recommend(text)


def test_the_largest_of_several_counts(tools: Path) -> None:
    install(tools, "nvidia-smi", out=TWO_CARDS)
    chosen = found(tools)
    assert (tools / "nvidia-smi.asked").read_text().split() == [
        "--query-gpu=memory.total,name",
        "--format=csv,noheader,nounits",
    ]
    assert chosen.detection.gpu == gpu.Gpu("NVIDIA GeForce RTX 4090", 24564 * MIB)
    assert [each.name for each in chosen.detection.gpus] == ["NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 4090"]
    assert "the largest of 2" in chosen.detection.how
    assert chosen.models[-1] == "acestep-5Hz-lm-4B"  # 23.99 GiB are a card of 24


@pytest.mark.parametrize("around", ["{}", "WARNING: AMD GPU device(s) is/are in a low-power state.\n\n{}\n"])
def test_rocm(tools: Path, around: str) -> None:
    install(tools, "rocm-smi", out=around.replace("{}", ROCM))
    chosen = found(tools)
    assert (tools / "rocm-smi.asked").read_text().split() == ["--showmeminfo", "vram", "--showproductname", "--json"]
    assert chosen.detection.gpu == gpu.Gpu("Navi 31 [Radeon RX 7900 XT/7900 XTX/7900M]", 25753026560)
    assert chosen.vram_gb == 23.98


FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


@pytest.mark.parametrize(
    ("how", "note"),
    [
        ({"out": FAILED, "code": 9}, f"nvidia-smi: it failed ({FAILED})"),
        ({"code": 12}, "nvidia-smi: it failed (exit code 12)"),
        ({"out": "No devices were found\n"}, "nvidia-smi: its answer is not understood (No devices were found)"),
        ({"out": "lots of, memory\n"}, "nvidia-smi: its answer is not understood (lots of, memory)"),
        ({"out": ""}, "nvidia-smi: names no GPU"),
        ({"out": "[N/A], NVIDIA GB10\n"}, "nvidia-smi: names no GPU"),
    ],
)
def test_a_tool_that_is_of_no_use_is_passed_over_and_named(tools: Path, how: dict[str, Any], note: str) -> None:
    install(tools, "nvidia-smi", **how)
    alone = found(tools)
    assert (alone.models, alone.vram_gb, alone.detection.notes) == (("main",), 0.0, (note,))
    install(tools, "rocm-smi", out=ROCM)
    assert found(tools).detection.gpu is not None


@pytest.mark.parametrize("out", ["no json", "{", "[1]", '{"card0": {"VRAM Total Memory (B)": "N/A"}}'])
def test_rubbish_from_rocm(tools: Path, out: str) -> None:
    install(tools, "rocm-smi", out=out)
    assert "its answer is not understood" in found(tools).detection.notes[0]


def test_a_tool_that_hangs_is_given_up(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "DEADLINE", 1.5)
    install(tools, "nvidia-smi", before=f"/bin/sleep 30 & echo $! > {tools}/child; wait")
    began = time.monotonic()
    chosen = found(tools)
    assert chosen.detection.notes == ("nvidia-smi: no answer in 1.5 s",)
    assert time.monotonic() - began < 10  # and not the half minute that its own child would go on for
    child = Path("/proc") / (tools / "child").read_text().strip()
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text():
        assert time.monotonic() - began < 20


def test_a_simulated_gpu_counts_before_a_real_one(tools: Path) -> None:
    install(tools, "nvidia-smi", out=TWO_CARDS)
    chosen = found(tools, MAX_CUDA_VRAM="8")
    assert (chosen.models, chosen.detection.how) == (("main", SMALL), "MAX_CUDA_VRAM is 8")
    assert found(tools, MAX_MPS_VRAM="16").vram_gb == 16
    with pytest.raises(UsageError, match="MAX_CUDA_VRAM: 'eight'"):
        found(tools, MAX_CUDA_VRAM="eight")
    assert not (tools / "nvidia-smi.asked").exists()


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WATCHED, *arguments]
    return subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False)


def test_the_program_tells_the_rule_and_opens_no_socket(tools: Path) -> None:
    install(tools, "nvidia-smi", out=TWO_CARDS)
    ended = run("recommend", PATH=str(tools))
    lines = ended.stdout.splitlines()
    told = json.loads(lines.pop())
    assert (told["code"], ended.stderr) == (0, "")
    assert set(HEAVY).isdisjoint(told["modules"])
    assert lines[0].startswith("GPU: nvidia-smi names NVIDIA GeForce RTX 4090, the largest of 2")
    assert "24 GB and more: the XL sft DiT" in lines[1]
    assert "main is always part of it" in lines[2]
    assert lines[-1] == "about 38.5 GB in all; fetch them with: acestep-fetch --for-gpu"
    document = run("recommend", "--for-gpu", "12GB", "--json")
    told = json.loads(document.stdout[: document.stdout.rindex("}\n{") + 1])
    assert (told["v"], told["command"]) == (1, "recommend")
    assert (told["models"], told["vram_gb"]) == (["main", SFT, SMALL], 12.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--for-gpu", "many"], "write it as 12GB, or auto"), (["--all", "--for-gpu"], "exclude each other")],
)
def test_wrong_uses(arguments: list[str], said: str) -> None:
    ended = run("get", *arguments)
    assert json.loads(ended.stdout)["code"] == 2
    assert said in ended.stderr
