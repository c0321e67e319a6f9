"""Exit codes, reruns, signals and what the hubs' own clients make of our folders."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acestep_fetch.core.model import HubName
from tests.end_to_end.conftest import events, hubs
from tests.support.faults import Rule, Status
from tests.support.recorder import Kind
from tests.support.trees import make_catalogue, make_repo, tree_digests

SCALE = 0.002
MAIN = "ACE-Step/Ace-Step1.5"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def roots(shared_trees: Path) -> dict[HubName, Path]:
    found = {hub: shared_trees / f"small-{hub.value}" for hub in HubName}
    for hub, root in found.items():
        make_catalogue(root, scale=SCALE, hub=hub, models=["main", "acestep-v15-base", "acestep-5Hz-lm-0.6B"])
    return found


def fetched(roots: dict[HubName, Path], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE]) as pair:
        return pair.run("--dir", str(folder), *arguments)


def test_main_then_nothing_to_do_without_a_socket(roots: dict[HubName, Path], tmp_path: Path) -> None:
    first = fetched(roots, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "main ready" in first.stderr
    assert tree_digests(tmp_path) == tree_digests(roots[HubName.HUGGINGFACE] / MAIN)
    again = _without_sockets("--dir", str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert "up to date" in again.stderr
    listed = _without_sockets("--dir", str(tmp_path), "--list")
    assert listed.returncode == 0, listed.stderr
    assert "ready" in listed.stdout


def test_a_model_brings_main_along(roots: dict[HubName, Path], tmp_path: Path) -> None:
    ran = fetched(roots, tmp_path, "--model", "acestep-v15-base", "-q")
    assert ran.returncode == 0, ran.stderr
    assert sorted(ran.stdout.split()) == sorted(
        str(tmp_path / name)
        for name in (
            "vae",
            "Qwen3-Embedding-0.6B",
            "acestep-v15-turbo",
            "acestep-5Hz-lm-1.7B",
            "acestep-v15-base",
        )
    )
    assert ran.stderr == ""


def test_one_content_under_two_names_is_fetched_once(roots: dict[HubName, Path], tmp_path: Path) -> None:
    with hubs(roots[HubName.HUGGINGFACE]) as pair:
        assert pair.run("--dir", str(tmp_path), "--model", "acestep-v15-base").returncode == 0
        recorded = [*pair.hf.recorder.entries, *pair.ms.recorder.entries]
    names = [entry.file for entry in recorded if entry.sent and entry.file.endswith("silence_latent.pt")]
    assert len({name for name in names if name}) == 1
    first, second = (tmp_path / m / "silence_latent.pt" for m in ("acestep-v15-turbo", "acestep-v15-base"))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_ino != second.stat().st_ino


def test_any_repository_and_patterns(tmp_path: Path) -> None:
    make_repo(tmp_path / "hub", "someone/things", {"a.bin": 3 << 20, "b.json": 100, "deep/er/c.txt": 7, "empty": 0})
    with hubs(tmp_path / "hub") as pair:
        flags = ["--dir", str(tmp_path / "out"), "--skip-main", "--model", "someone/things"]
        some = pair.run(*flags, "--include", "*.json,deep/", "--exclude", "nothing")
        assert some.returncode == 0, some.stderr
        assert set(tree_digests(tmp_path / "out" / "things")) == {"b.json", "deep/er/c.txt"}
        whole = pair.run(*flags)
        assert whole.returncode == 0, whole.stderr
        assert set(tree_digests(tmp_path / "out" / "things")) == {"a.bin", "b.json", "deep/er/c.txt", "empty"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "acestep-v15-bas"], 2, "did you mean acestep-v15-base"),
        (["--prefer-source", "google"], 2, "huggingface, modelscope or auto"),
        (["--model", "acestep-v15-small"], 3, "Hugging Face: ACE-Step/acestep-v15-small is missing"),
        (["--model", "nobody/nothing", "--skip-main"], 3, "ModelScope: nobody/nothing is missing"),
        (["--revision", "v9"], 3, "v9"),
    ],
)
def test_what_cannot_be_had(
    roots: dict[HubName, Path], tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    ran = fetched(roots, tmp_path, *arguments)
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr
    assert tree_digests(tmp_path) == {}


def test_of_several_models_one_that_nobody_has_stops_no_other(tmp_path: Path) -> None:
    make_repo(tmp_path / "hub", "made/Repo", {"a.bin": 100_000, "config.json": 300})
    with hubs(tmp_path / "hub") as pair:
        flags = ("--model", "made/Missing", "--model", "made/Repo", "--skip-main", "--dir", str(tmp_path / "out"))
        ended = pair.run(*flags)
    assert ended.returncode == 10, ended.stderr
    assert "made/Missing: no hub has it" in ended.stderr
    assert tree_digests(tmp_path / "out" / "Repo") == tree_digests(tmp_path / "hub" / "made/Repo")


def test_nothing_reachable(tmp_path: Path) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "acestep_fetch", "--dir", str(tmp_path)],
        env={**os.environ, **nowhere, "ACESTEP_FETCH_PROBE_URL": "http://127.0.0.1:9/"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 5, ran.stderr
    assert "tried: 127.0.0.1:9" in ran.stderr
    assert "no hub could be asked" in ran.stderr
    assert time.monotonic() - began < 60


def test_refused_everywhere(roots: dict[HubName, Path], tmp_path: Path) -> None:
    gated = [
        Rule(Status(401, {"X-Error-Code": "GatedRepo"}), kind=Kind.RESOLVER, method=None),
        Rule(Status(403), kind=Kind.CONTENT, method=None),
    ]
    with hubs(roots[HubName.HUGGINGFACE], faults=gated) as pair:
        ran = pair.run("--dir", str(tmp_path))
    assert ran.returncode == 4, ran.stderr
    assert "access refused" in ran.stderr


def test_too_little_disk_is_told_before_the_first_byte(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "hub", "someone/large", {"config.json": 100})
    with (repo / "sparse.bin").open("wb") as file:  # larger than the small disk that the run is given
        file.truncate(3 << 30)
    with hubs(tmp_path / "hub") as pair, _small_disk(tmp_path) as disk:
        ran = pair.run("--dir", str(disk), "--skip-main", "--model", "someone/large")
        assert ran.returncode == 7, ran.stderr
        assert "3.25 GB needed" in ran.stderr
        assert "missing" in ran.stderr
        assert pair.hf.recorder.of(Kind.CONTENT) == []
        assert not list(disk.glob("**/*.part"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path, number: int, code: int) -> None:
    make_repo(tmp_path / "hub", "someone/large", {"model.safetensors": 200 << 20})
    flags = ["--dir", str(tmp_path / "out"), "--skip-main", "--model", "someone/large", "--progress", "json"]
    with hubs(tmp_path / "hub", throttle=2e6) as pair:
        process = pair.start(*flags)
        time.sleep(2.5)
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert time.monotonic() - began < 5.0
        assert process.returncode == code, err
        last = events(out)[-1]
        assert last["event"] == "summary"
        assert last["exit_code"] == code
        assert not (tmp_path / "out" / "large").exists()
    with hubs(tmp_path / "hub") as pair:
        ran = pair.run(*flags)
        assert ran.returncode == 0, ran.stderr
        plan = next(line for line in events(ran.stdout) if line["event"] == "plan")
        assert plan["partial"] >= last["bytes_fetched"] - 32 * (3 << 20)
        assert plan["partial"] > 0
        assert events(ran.stdout)[-1]["bytes_fetched"] == (200 << 20) - plan["partial"]


def test_memory_stays_small(tmp_path: Path) -> None:
    make_repo(tmp_path / "hub", "someone/large", {"model.safetensors": 1 << 30})
    with hubs(tmp_path / "hub") as pair:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        ran = pair.run("--dir", str(tmp_path / "out"), "--skip-main", "--model", "someone/large")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert ran.returncode == 0, ran.stderr
    assert before > 150 << 10 or peak <= 150 << 10, f"{peak / 1024:.0f} MiB"


@pytest.mark.clients
def test_hf_finds_our_folder_current(roots: dict[HubName, Path], tmp_path: Path) -> None:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE]) as pair:
        assert pair.run("--dir", str(tmp_path)).returncode == 0
        pair.hf.recorder.clear()
        ran = subprocess.run(
            [str(BIN / "hf"), "download", MAIN, "--local-dir", str(tmp_path)],
            env=pair.environment(HF_HUB_DISABLE_TELEMETRY="1"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert sum(entry.sent for entry in pair.hf.recorder.entries if entry.kind is not Kind.API) == 0


@pytest.mark.clients
def test_modelscope_finds_our_folder_current(roots: dict[HubName, Path], tmp_path: Path) -> None:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE]) as pair:
        assert pair.run("--dir", str(tmp_path), "--prefer-source", "modelscope").returncode == 0
        pair.ms.recorder.clear()
        ran = subprocess.run(
            [str(BIN / "modelscope"), "download", "--model", MAIN, "--local_dir", str(tmp_path)],
            env=pair.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert sum(entry.sent for entry in pair.ms.recorder.entries if entry.kind is not Kind.API) == 0


@pytest.mark.clients
def test_files_of_the_official_clients_are_adopted(roots: dict[HubName, Path], tmp_path: Path) -> None:
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE]) as pair:
        subprocess.run(
            [str(BIN / "hf"), "download", MAIN, "--local-dir", str(tmp_path)],
            env=pair.environment(HF_HUB_DISABLE_TELEMETRY="1"),
            capture_output=True,
            check=True,
        )
        before = pair.sent
        ran = pair.run("--dir", str(tmp_path))
        assert ran.returncode == 0, ran.stderr
        assert pair.sent == before


def _without_sockets(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program where every socket is an error, and no hub or HTTP library may be imported."""
    code = (
        "import sys, socket\n"
        "def refuse(*a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket.__init__ = refuse\n"
        "from acestep_fetch.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "bad = {'aiohttp', 'httpx', 'huggingface_hub', 'modelscope', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else code)"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


class _small_disk:  # noqa: N801
    """A tmpfs of 64 MiB; skips where that needs rights that the test does not have."""

    def __init__(self, folder: Path) -> None:
        self._at = folder / "disk"

    def __enter__(self) -> Path:
        self._at.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(self._at)], check=False)
        if made.returncode:
            pytest.skip("mounting a small disk needs root")
        return self._at

    def __exit__(self, *exc: object) -> None:
        subprocess.run(["umount", "-l", str(self._at)], check=False)
