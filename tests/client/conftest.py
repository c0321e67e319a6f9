"""Two hubs with small models, this process as their user, and programs that are processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch.core.model import HubName
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_catalogue, make_repo

MIB = 1 << 20
MODELS = ("main", "acestep-v15-sft", "acestep-v15-base", "acestep-5Hz-lm-0.6B")
LM = "acestep-5Hz-lm-0.6B"
LARGE = "someone/large"
SIZE = 60 * MIB
LINK = 16e6  # bytes a second of each hub: a large file takes some two seconds


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[HubName, Path]:
    made = {hub: tmp_path_factory.mktemp(hub.value) for hub in HubName}
    for hub, root in made.items():
        make_catalogue(root, scale=2e-4, hub=hub, models=MODELS)
        make_repo(root, LARGE, {"model.safetensors": SIZE, "config.json": 300, "vocab.txt": 70_000})
    return made


@pytest.fixture
def pair(roots: dict[HubName, Path]) -> Iterator[Hubs]:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE], link=LINK) as running:
        yield running


@pytest.fixture
def here(pair: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of this process, in which `pair` are the hubs."""
    for name, value in pair.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(pair: Hubs, code: str, folder: Path) -> subprocess.Popen[str]:
    """`code` in a process of its own, in which every warning is an error."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=pair.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pair.started.append(process)
    return process
