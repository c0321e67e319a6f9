"""docs/offline.md: its commands do what it says, in its order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acestep_fetch.core.model import HubName
from tests.end_to_end.conftest import CODE, Hubs, hubs
from tests.support.trees import make_catalogue, tree_digests

PAGE = Path(CODE) / "docs" / "offline.md"
BOXES = {"# with a network": "online", "# isolated": "isolated"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils' sha256sum is not installed")
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    for hub in HubName:
        make_catalogue(tmp_path / hub.value, scale=0.0005, hub=hub, models=["main", "acestep-v15-sft"])
    program = tmp_path / "bin" / "acestep-fetch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m acestep_fetch "$@"\n')
    program.chmod(0o755)
    (tmp_path / "usb").mkdir()
    for box in BOXES.values():
        (tmp_path / box).mkdir()
        (tmp_path / box / "usb").symlink_to(tmp_path / "usb")
    with hubs(tmp_path / "huggingface", tmp_path / "modelscope") as pair:
        for block in blocks("sh"):
            where, _, script = block.partition("\n")
            if BOXES[where] == "isolated" and not (tmp_path / "usb" / "acestep-fetch.lock").exists():
                shutil.copy(tmp_path / "online" / "acestep-fetch.lock", tmp_path / "usb")
            ended = _shell(script, tmp_path, BOXES[where], pair)
            assert ended.returncode == 0, f"{script}{ended.stdout}{ended.stderr}"
    assert len(blocks("sh")) == PAGE.read_text("utf-8").count("```sh\n")
    assert tree_digests(tmp_path / "isolated" / "checkpoints") == tree_digests(tmp_path / "online" / "checkpoints")


def _shell(script: str, root: Path, box: str, pair: Hubs) -> subprocess.CompletedProcess[str]:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    environment = pair.environment(**(nowhere if box == "isolated" else {}))
    environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=root / box,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_python_of_the_page(tmp_path: Path) -> None:
    for hub in HubName:
        make_catalogue(tmp_path / hub.value, scale=0.0005, hub=hub, models=["main", "acestep-v15-sft"])
    (code,) = blocks("python")
    with hubs(tmp_path / "huggingface", tmp_path / "modelscope") as pair:
        environment = pair.environment()
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "checkpoints" / "acestep-v15-sft").is_dir()
