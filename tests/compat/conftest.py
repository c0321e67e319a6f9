"""Two hubs with small models, and applications that are processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import acestep_fetch
from acestep_fetch.core.model import HubName
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_catalogue, make_repo

ROOT = Path(acestep_fetch.__file__).parent.parent
SCALE = 2e-4  # the main model has 2 MB and 5 MB of small files
MODELS = ("main", "acestep-v15-sft", "acestep-v15-base", "acestep-5Hz-lm-0.6B")
VAE = {"config.json": 425, "diffusion_pytorch_model.safetensors": 60_000}
INSTALL = "from acestep_fetch import compat; compat.install()\n"


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[HubName, Path]:
    made = {hub: tmp_path_factory.mktemp(hub.value) for hub in HubName}
    for hub, root in made.items():
        make_catalogue(root, scale=SCALE, hub=hub, models=MODELS)
    make_repo(made[HubName.HUGGINGFACE], "scragnog/Ace-Step-1.5-ScragVAE", VAE)  # ModelScope does not have it
    return made


@pytest.fixture
def pair(roots: dict[HubName, Path]) -> Iterator[Hubs]:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE]) as running:
        yield running


@pytest.fixture
def here(pair: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of this process, in which `pair` are the hubs."""
    for name, value in pair.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Application:
    """Runs code in clean processes whose working folder is `folder`; an ACE-Step may lie there."""

    hubs: Hubs
    folder: Path

    def start(self, arguments: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.folder,
            env={
                **self.hubs.environment(),
                "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def code(self, code: str) -> list[str]:
        """How to run `code` after ``install()``; what it puts into `told` comes back from `ended`."""
        return ["-c", f"{INSTALL}import json\ntold = None\n{code}\nprint(json.dumps(told))"]

    def run(self, code: str, **environment: str) -> Any:
        return self.ended(self.start(self.code(code), **environment))

    def ended(self, process: subprocess.Popen[str]) -> Any:
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"it hangs: {process.communicate()}") from None
        assert process.returncode == 0, f"{out}\n{err}"
        assert "\r" not in err
        assert "\x1b" not in err
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def application(pair: Hubs, tmp_path: Path) -> Application:
    return Application(pair, tmp_path)
