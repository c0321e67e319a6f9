"""The official command lines, unmodified, download from the embedded hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acestep_fetch.core.model import HubName
from tests.support.faults import Cut, Kind, Rule, Truncate
from tests.support.hub import ThreadedHub
from tests.support.trees import make_catalogue, make_repo, tree_digests

Client = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.clients

MAIN = "ACE-Step/Ace-Step1.5"
SCALE = 0.001  # main: 10 MB in all, its largest file 4.8 MB
DIT = "acestep-v15-turbo/model.safetensors"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shelf")
    make_catalogue(root, scale=SCALE, hub=HubName.HUGGINGFACE, models=["main"])
    return root


@pytest.fixture
def hub(shelf: Path) -> Iterator[ThreadedHub]:
    with ThreadedHub(shelf) as hub:
        yield hub


def run_client(name: str, hub: ThreadedHub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``hf`` or ``modelscope`` with nothing of this machine's settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "MODELSCOPE_ENDPOINT": hub.url,
        "MODELSCOPE_CACHE": str(home / "ms"),
        "MODELSCOPE_HOME": str(home / "ms-home"),
    }
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def hf(hub: ThreadedHub, home: Path, repo: str, to: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_client("hf", hub, home, "download", repo, "--local-dir", str(to), *more)


def modelscope(hub: ThreadedHub, home: Path, repo: str, to: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_client("modelscope", hub, home, "download", "--model", repo, "--local_dir", str(to), *more)


def test_hf_downloads_main(hub: ThreadedHub, shelf: Path, tmp_path: Path) -> None:
    done = hf(hub, tmp_path, MAIN, tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert tree_digests(tmp_path / "got") == tree_digests(shelf / MAIN)
    asked = hub.recorder.of(Kind.API)
    assert len([entry for entry in asked if entry.path != "/api/agent-harnesses"]) == 2  # the revision and its tree
    large = {entry.file for entry in hub.recorder.of(Kind.CONTENT)}
    small = tree_digests(shelf / MAIN).keys() - large
    assert len(large) == 5
    assert len(hub.recorder.of(Kind.RESOLVER)) == 3 * len(small) + len(large)  # HEAD 307, HEAD, GET; HEAD 302
    assert len(hub.recorder.of(Kind.CONTENT)) == 2 * len(large)  # HEAD and GET
    assert all(entry.dialect is HubName.HUGGINGFACE for entry in hub.recorder.entries)


def test_modelscope_downloads_main(hub: ThreadedHub, shelf: Path, tmp_path: Path) -> None:
    done = modelscope(hub, tmp_path, MAIN, tmp_path / "got")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree_digests(tmp_path / "got") == tree_digests(shelf / MAIN)
    files = len(tree_digests(shelf / MAIN))
    assert hub.recorder.counts() == {Kind.API: 2, Kind.RESOLVER: files, Kind.CONTENT: 5}
    assert all(entry.dialect is HubName.MODELSCOPE for entry in hub.recorder.entries)


@pytest.mark.parametrize("client", [hf, modelscope])
def test_a_body_that_breaks_off_is_resumed(hub: ThreadedHub, shelf: Path, tmp_path: Path, client: Client) -> None:
    hub.faults.rules.append(Rule(Truncate(1_500_000, Cut.CLOSE), kind=Kind.CONTENT, path=DIT, nth=1))
    done = client(hub, tmp_path, MAIN, tmp_path / "got", "--include", "acestep-v15-turbo/*")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = {path: digest for path, digest in tree_digests(shelf / MAIN).items() if path.startswith("acestep-v15")}
    assert tree_digests(tmp_path / "got") == wanted
    assert any(entry.status == 206 or entry.range for entry in hub.recorder.of(Kind.CONTENT, file=DIT)) or client is hf


def test_hf_follows_pages_and_a_wrong_case(tmp_path: Path) -> None:
    make_repo(tmp_path / "shelf", "ACE-Step/many", {f"d{n % 3}/{n:02}.json": b"{}" for n in range(30)})
    with ThreadedHub(tmp_path / "shelf", page=7) as hub:
        done = hf(hub, tmp_path, "ace-step/Many", tmp_path / "got")
        assert done.returncode == 0, done.stderr
        assert tree_digests(tmp_path / "got") == tree_digests(tmp_path / "shelf/ACE-Step/many")
        assert sum("/tree/" in entry.path for entry in hub.recorder.of(Kind.API)) >= 5


def test_modelscope_lists_folder_by_folder_where_a_listing_is_cut(tmp_path: Path) -> None:
    """The client knows 3000 as the limit, so this takes a repository that is really larger."""
    files: dict[str, bytes | int] = {f"d{n % 3}/{n:04}.json": b"{}" for n in range(3100)}
    make_repo(tmp_path / "shelf", "ACE-Step/many", {**files, "d0/wanted.txt": b"w", "d2/wanted.txt": b"w"})
    with ThreadedHub(tmp_path / "shelf") as hub:
        done = modelscope(hub, tmp_path, "ACE-Step/many", tmp_path / "got", "--include", "*wanted.txt")
        assert done.returncode == 0, done.stdout + done.stderr
        assert tree_digests(tmp_path / "got").keys() == {"d0/wanted.txt", "d2/wanted.txt"}
        assert sum(entry.path.endswith("/repo/files") for entry in hub.recorder.entries) > 1


def test_refusals_are_understood(hub: ThreadedHub, tmp_path: Path) -> None:
    missing = hf(hub, tmp_path, "ACE-Step/nothing", tmp_path / "a")
    assert missing.returncode != 0
    assert "not found" in missing.stderr.lower()
    revision = hf(hub, tmp_path, MAIN, tmp_path / "b", "--revision", "v9")
    assert revision.returncode != 0
    assert "revision" in revision.stderr.lower()
    gone = modelscope(hub, tmp_path, "ACE-Step/nothing", tmp_path / "c")
    assert gone.returncode != 0
