"""The newcomer's page, line by line on a box of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.core.model import HubName
from acestep_fetch.engine.gpu import recommend
from tests.docs.pages import DOCS, Box, block
from tests.end_to_end.conftest import hubs
from tests.reference import table_below
from tests.support.trees import make_catalogue, tree_digests

PAGE = "first-song.md"


@pytest.fixture(scope="module")
def roots(shared_trees: Path) -> dict[HubName, Path]:
    found = {hub: shared_trees / f"song-{hub.value}" for hub in HubName}
    for hub, root in found.items():
        make_catalogue(root, scale=0.002, hub=hub, models=["main", "acestep-5Hz-lm-0.6B"])
    return found


@pytest.fixture
def box(roots: dict[HubName, Path], tmp_path: Path) -> Iterator[Box]:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE], link=6e6) as pair:
        yield Box(tmp_path / "box", pair)


def lines(section: str, number: int = 0) -> str:
    return block(PAGE, section, "sh", number).text


def played(box: Box, script: str) -> subprocess.CompletedProcess[str]:
    done = box.play(script)
    assert done.returncode == 0, done.stderr
    return done


def test_from_the_first_list_to_the_first_song(box: Box, roots: dict[HubName, Path]) -> None:
    played(box, lines("Install"))
    listed = played(box, lines("Install", 1)).stdout
    assert "absent" in listed
    assert box.hubs.sent == 0
    _interrupted(box, lines("Fetch"))
    assert "main ready" in played(box, lines("Stop, and go on")).stderr
    here = tree_digests(box.root / "work/checkpoints")
    assert here == tree_digests(roots[HubName.HUGGINGFACE] / "ACE-Step/Ace-Step1.5")
    before = time.monotonic()
    assert "up to date" in played(box, lines("Stop, and go on")).stderr
    assert time.monotonic() - before < 5
    played(box, lines("Fetch", 1))
    assert (box.root / "work/checkpoints/acestep-5Hz-lm-0.6B").is_dir()
    played(box, lines("Check"))
    weights = box.root / "work/checkpoints/vae/diffusion_pytorch_model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))
    assert box.play(lines("Check")).returncode != 0
    played(box, lines("Check", 1))
    played(box, lines("Check"))
    played(box, lines("The first song"))
    assert box.told == ["pip install .", "uv run acestep"]


def _interrupted(box: Box, script: str) -> None:
    """Ctrl-C, once bytes have come."""
    run = subprocess.Popen(
        ["bash", "-c", f"exec {script}"],
        cwd=box.root / "work",
        env=box.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while box.hubs.sent < 1_000_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "kept; run the same command to continue" in said


def test_the_models_that_the_page_names_exist() -> None:
    text = (DOCS / PAGE).read_text("utf-8")
    for name in set(re.findall(r"`(acestep-[v5][\w.-]+|main)`", text)):
        assert load_catalogue().find(name)


def test_the_table_of_gpus_is_what_recommend_says() -> None:
    rows, above = _table("Choose"), 0
    for memory, good, why in rows:
        found = re.fullmatch(r"(?:up to (\d+) GB(?:, or none)?|(\d+) GB and more)", memory)
        assert found, memory
        first, last = (above, int(found[1])) if found[1] else (int(found[2]), 96)
        for gigabytes in range(first, last + 1):
            said = recommend(str(gigabytes))
            assert re.findall(r"`([^`]+)`", good) == list(said.models), gigabytes
            assert {*re.findall(r"`([^`]+)`", why)} <= {"main", *said.also}, gigabytes
        above = last + 1
    assert above > 96
    assert len(rows) == len(load_catalogue().tiers)


def test_the_codes_are_those_of_the_readme() -> None:
    known = {code for codes, *_ in table_below("Exit codes") for code in codes.split(", ")}
    told = {code for codes, *_ in _table("When it fails") for code in codes.split(", ")}
    assert told <= known
    assert known - told <= {"0", "1", "11", "12", "129"}  # of commands and signals that a newcomer does not meet


def _table(section: str) -> list[list[str]]:
    below = (DOCS / PAGE).read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line for line in below.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
