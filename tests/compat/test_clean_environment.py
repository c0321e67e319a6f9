"""In a virtual environment of its own: this package is installed, ACE-Step-style code runs unchanged after `install()`.

Dependencies come from the environment that runs the tests, because no test asks a package index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from acestep_fetch.core.model import HubName
from tests.compat.application import write_application
from tests.compat.conftest import INSTALL, ROOT
from tests.compat.test_call_sites import PARTS, is_whole
from tests.end_to_end.conftest import Hubs
from tests.support.trees import MAIN

SONG = """
import asyncio, json, os
import acestep_fetch
from acestep.handler import AceStepHandler
from acestep.wizard import prepare
from acestep.api_server import lifespan
from acestep.ui.service_row import build_vae_dropdown
from acestep import model_downloader

told = {
    "handler": AceStepHandler().initialize_service(".", "acestep-v15-sft", prefer_source="huggingface"),
    "wizard": prepare("checkpoints", "acestep-5Hz-lm-0.6B"),
    "server": asyncio.run(lifespan(".", ["acestep-v15-turbo", "acestep-v15-nonsense"])),
    "row": build_vae_dropdown(),
    "exists": model_downloader.check_main_model_exists("checkpoints"),
    "fork": model_downloader.FORK_EXTRA,
    "from": os.path.dirname(acestep_fetch.__file__),
}
print(json.dumps(told))
"""


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _home_of(package: str) -> str:
    spec = find_spec(package)
    assert spec
    assert spec.origin
    return str(Path(spec.origin).parents[1])


def _python(folder: Path) -> tuple[Path, Path]:
    """A new environment's interpreter and its site-packages."""
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    place = Path(subprocess.run(ask, env=_clean(), capture_output=True, text=True, check=True).stdout.strip())
    assert place.is_relative_to(folder)
    return python, place


def _install(how: str, python: Path, place: Path, work: Path) -> None:
    homes = {_home_of(name) for name in ("aiohttp", "huggingface_hub", "rich")}
    if how == "as a wheel":
        homes.add(_home_of("hatchling"))
    # A path in a .pth file is searched, but its own .pth files are not read: what is editable there stays there.
    (place / "dependencies.pth").write_text("\n".join(homes))
    if how == "as its files":
        shutil.copytree(ROOT / "acestep_fetch", place / "acestep_fetch", ignore=shutil.ignore_patterns("__pycache__"))
        return
    source = work / "source"
    source.mkdir()
    for name in ("acestep_fetch", "pyproject.toml", "README.md", "LICENSE"):  # the build writes beside what it builds
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--isolated", "--disable-pip-version-check"]
    flags = ["--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed", "--quiet"]
    told = subprocess.run(
        [*pip, "install", *flags, str(source)], env=_clean(), capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("how", ["as its files", "as a wheel"])
def test_upstream_style_code_runs_unchanged(how: str, pair: Hubs, roots: dict[HubName, Path], tmp_path: Path) -> None:
    if how == "as a wheel":
        for needed in ("hatchling", "pip"):
            if find_spec(needed) is None:
                pytest.skip(f"building a wheel without a package index needs {needed} here")
    python, place = _python(tmp_path / "environment")
    _install(how, python, place, tmp_path)
    write_application(tmp_path / "application")
    environment = {k: v for k, v in pair.environment().items() if not k.startswith("PYTHON")}
    ran = subprocess.run(
        [str(python), "-W", "error", "-c", f"{INSTALL}{SONG}"],
        cwd=tmp_path / "application",
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["from"] == str(place / "acestep_fetch"), "what is installed there is what runs"
    assert (told["handler"], told["wizard"][0], told["exists"]) == (["ready", True], True, True)
    assert told["server"][0] == "checkpoints/acestep-v15-turbo"
    assert "Unknown model" in told["server"][1]
    assert (told["row"]["value"], told["fork"]) == ("official", "a name that only a fork has")
    folder = tmp_path / "application" / "checkpoints"
    assert all(is_whole(roots, folder, MAIN, part) for part in PARTS)
    assert all(is_whole(roots, folder, model) for model in ("acestep-v15-sft", "acestep-5Hz-lm-0.6B"))
    if how == "as a wheel":
        program = python.with_name("acestep-fetch")
        version = subprocess.run([str(program), "--version"], env=_clean(), capture_output=True, text=True, check=False)
        assert version.stdout.startswith("acestep-fetch "), version.stderr
