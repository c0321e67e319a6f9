"""A small run as events, and a view to draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from acestep_fetch.core import events as ev
from acestep_fetch.display.tally import Busy, Phase, View

GB = 10**9


@pytest.fixture
def run() -> list[ev.Event]:
    """One model: 1 GB here before, 3 GB to fetch, two hubs."""
    return [
        ev.RunStarted("0.1.0", "/w/checkpoints", ("main",)),
        ev.SourceProbed("huggingface", True, 0.038, "200", "https://huggingface.co"),
        ev.SourceProbed("modelscope", False, 3.0, "timeout", "https://modelscope.cn"),
        ev.SourcesChosen(("huggingface", "modelscope"), "Google is reachable"),
        ev.PlanMade(("main",), 2, 4 * GB, GB, 0, 3 * GB, 48 * GB, {"huggingface": 4 * GB}),
        ev.FileReused("vae/model.safetensors", GB),
        ev.FileStarted("dit/model.safetensors", 3 * GB, 0),
        ev.BytesReceived("dit/model.safetensors", "huggingface", 2 * GB),
        ev.Detail("retry 1"),
        ev.SourceSwitched("dit/model.safetensors", "huggingface", "modelscope", 2 * GB, "stalled 20 s"),
        ev.BytesReceived("dit/model.safetensors", "modelscope", GB),
        ev.FileVerified("dit/model.safetensors", 3 * GB, "sha256:00", {"huggingface": 2 * GB, "modelscope": GB}, 9.0),
        ev.ComponentReady("dit", 1, 3 * GB),
        ev.ModelReady("main", ("vae", "dit"), 2, 4 * GB, True),
        ev.RunFinished(0, {"main": "ready"}, 1, 1, 3 * GB, GB, {"huggingface": 2 * GB, "modelscope": GB}, 125.0),
    ]


@pytest.fixture
def view() -> Callable[..., View]:
    def make(**changes: Any) -> View:
        busy = (
            Busy("acestep-v15-turbo/model.safetensors", 34 * GB // 10, 48 * GB // 10),
            Busy("acestep-5Hz-lm-1.7B/model.safetensors", 14 * GB // 10, 37 * GB // 10),
        )
        standing: dict[str, Any] = {
            "phase": Phase.DOWNLOADING, "why": "", "done": 41 * GB // 10, "total": 101 * GB // 10, "reused": GB,
            "speed": 212e6, "eta": 28.0, "by_source": {"huggingface": 71, "modelscope": 29},
            "files_done": 17, "files_total": 26, "open_files": 2, "busy": busy, "idle": 0.0,
        }  # fmt: skip
        return View(**(standing | changes))

    return make
