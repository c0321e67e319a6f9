"""`adopt` and `get --adopt`: what other folders of this machine hold is taken, proven, and not fetched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch import Options
from acestep_fetch.api import fetch_async
from acestep_fetch.core.model import HubName
from acestep_fetch.storage import platform
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import all_receipts
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.nobody import NOBODY, passable
from tests.support.trees import make_catalogue, make_repo, tree_digests

MIB = 1 << 20
REPO = "made/Repo"
FILES = {"large.bin": 3 * MIB + 5, "other.bin": 2 * MIB, "vocab.txt": 60_000, "code.py": 4000, "config.json": 300}
SIZE = sum(FILES.values())
ONE = ("--model", REPO, "--skip-main")
DEAD = {"HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, REPO, FILES)
    with hubs(root) as served:
        yield served


@pytest.fixture
def repo(both: Hubs) -> Path:
    for hub in (both.hf, both.ms):
        hub.recorder.clear()
    return both.hf.hub.setup.root / REPO


def adopt(both: Hubs, out: Path, *arguments: str, **more: str) -> dict[str, object]:
    ended = both.run("adopt", *arguments, *ONE, "--dir", str(out), "--json", **more)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, object] = json.loads(ended.stdout)
    return told


@pytest.mark.clients
@pytest.mark.parametrize("client", list(HubName))
def test_the_caches_of_the_official_clients_save_every_byte(client: HubName, tmp_path: Path) -> None:
    """With nothing but the usual places to look in."""
    home = tmp_path / "home"
    for hub in HubName:
        make_catalogue(tmp_path / hub, scale=0.001, hub=hub, models=["main"])
    with hubs(tmp_path / "huggingface", tmp_path / "modelscope") as pair:
        places = {"HOME": str(home), "HF_HOME": str(home / "hf"), "MODELSCOPE_CACHE": str(home / "ms")}
        environment = {"PATH": os.environ["PATH"], **places, "HF_ENDPOINT": pair.hf.url}
        environment |= {"MODELSCOPE_ENDPOINT": pair.ms.url, "MODELSCOPE_HOME": str(home / "ms-home")}
        name, flags = ("hf", []) if client is HubName.HUGGINGFACE else ("modelscope", ["--model"])
        command = [str(Path(sys.executable).with_name(name)), "download", *flags, "ACE-Step/Ace-Step1.5"]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
        before = tree_digests(home)
        for hub in (pair.hf, pair.ms):
            hub.recorder.clear()
        out = tmp_path / "out"
        ended = pair.run("adopt", "--prefer-source", client.value, "--dir", str(out), **places)
        assert ended.returncode == 0, ended.stderr
        assert (pair.sent, "nothing left to fetch" in ended.stdout) == (0, True), ended.stdout
        assert tree_digests(out) == tree_digests(tmp_path / client / "ACE-Step" / "Ace-Step1.5")
        assert tree_digests(home) == before
        assert pair.run("verify", "--dir", str(out)).returncode == 0
        assert pair.run("--dir", str(out), **DEAD).returncode == 0  # ready: no hub is asked


def test_what_another_program_calls_otherwise_is_found_by_its_bytes(both: Hubs, repo: Path, tmp_path: Path) -> None:
    comfy = tmp_path / "ComfyUI" / "models" / "diffusion_models"
    comfy.mkdir(parents=True)
    shutil.copy(repo / "large.bin", comfy / "acestep_v1.5_turbo.safetensors")
    (comfy / "another of the same size.safetensors").write_bytes(bytes(FILES["large.bin"]))
    out = tmp_path / "out"
    told = adopt(both, out, str(tmp_path / "ComfyUI"))
    assert (told["bytes_adopted"], told["models"]) == (FILES["large.bin"], {"Repo": "partial"})
    assert both.sent == 0
    assert not (out / "Repo").exists()  # ACE-Step would take it for complete
    standing = both.run("status", "--dir", str(out))
    assert (standing.returncode, "Repo: partial" in standing.stdout) == (11, True), standing.stdout
    rest = both.run(*ONE, "--dir", str(out), "--progress", "none")
    assert rest.returncode == 0, rest.stderr
    assert both.sent == SIZE - FILES["large.bin"]
    assert tree_digests(out / "Repo") == tree_digests(repo)


def test_where_nothing_is_found_nothing_is_begun(both: Hubs, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    assert adopt(both, tmp_path / "out", str(tmp_path / "old"))["bytes_adopted"] == 0
    standing = both.run("status", "--dir", str(tmp_path / "out"))
    assert (standing.returncode, "nothing was fetched into it yet" in standing.stdout) == (0, True)


def test_what_is_quiet_leaves_the_folders(both: Hubs, repo: Path, tmp_path: Path) -> None:
    old, out = tmp_path / "old", tmp_path / "out"
    old.mkdir()
    shutil.copy(repo / "large.bin", old)
    some = both.run("adopt", str(old), *ONE, "--dir", str(out), "-q")
    assert (some.returncode, some.stdout, some.stderr) == (0, "", "")
    for _ in range(2):
        ready = both.run("adopt", str(repo), *ONE, "--dir", str(out), "-q")
        assert (ready.returncode, ready.stdout, ready.stderr) == (0, f"{out / 'Repo'}\n", "")


def test_a_run_looks_there_before_it_fetches(both: Hubs, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    shutil.copy(repo / "large.bin", tmp_path / "old" / "x")
    ended = both.run(*ONE, "--dir", str(tmp_path / "out"), "--adopt", str(tmp_path / "old"), "--progress", "json")
    assert ended.returncode == 0, ended.stderr
    plan = next(line for line in events(ended.stdout) if line["event"] == "plan")
    assert (plan["adoptable"], plan["fetch"]) == (FILES["large.bin"], SIZE - FILES["large.bin"])
    adopted = [line for line in events(ended.stdout) if line["event"] == "file_adopted"]
    assert [(line["path"], line["origin"]) for line in adopted] == [("Repo/large.bin", str(tmp_path / "old" / "x"))]
    assert both.sent == SIZE - FILES["large.bin"]
    assert tree_digests(tmp_path / "out" / "Repo") == tree_digests(repo)


def test_a_name_proves_nothing(both: Hubs, repo: Path, tmp_path: Path) -> None:
    """A blob that lies is not taken, and what is right under another name is, though the blob is looked at first."""
    blobs = tmp_path / "cache" / "blobs"
    blobs.mkdir(parents=True)
    digest = tree_digests(repo)["large.bin"]
    (blobs / digest).write_bytes(bytes(FILES["large.bin"]))
    (blobs / tree_digests(repo)["other.bin"]).write_bytes(bytes(FILES["other.bin"]))
    shutil.copy(repo / "large.bin", tmp_path / "cache" / "right")
    told = adopt(both, tmp_path / "out", str(tmp_path / "cache"))
    assert told["bytes_adopted"] == FILES["large.bin"]
    staged = tmp_path / "out" / ".acestep-fetch" / "staging" / "Repo"
    assert tree_digests(staged) == {"large.bin": digest}
    assert tree_digests(blobs)[digest] != digest  # and it stays as it was


def test_a_tree_full_of_traps(both: Hubs, repo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "deeper").mkdir(parents=True)
    (tree / "deep" / "up").symlink_to(tree)
    (tree / "self").symlink_to(tree / "self")
    (tree / "nowhere").symlink_to(tree / "gone")
    os.mkfifo(tree / "pipe")
    (tree / "to-pipe").symlink_to(tree / "pipe")
    parts = tree / "checkpoints" / ".acestep-fetch" / "parts"
    parts.mkdir(parents=True)
    shutil.copy(repo / "large.bin", parts / "unfinished.part")
    (tmp_path / "far").mkdir()
    shutil.copy(repo / "vocab.txt", tmp_path / "far" / "vocab")
    (tree / "deep" / "deeper" / "link").symlink_to(tmp_path / "far" / "vocab")
    (tree / "far").symlink_to(tmp_path / "far")
    told = adopt(both, tmp_path / "out", str(tree), str(tree / "deep"))
    assert told["bytes_adopted"] == FILES["vocab.txt"]


def test_what_cannot_be_read_is_named_and_passed_over(both: Hubs, repo: Path, tmp_path: Path) -> None:
    tree, out = passable(tmp_path) / "tree", tmp_path / "out"
    for folder in (tree / "locked", out):
        folder.mkdir(parents=True)
    shutil.copy(repo / "vocab.txt", tree / "open")
    shutil.copy(repo / "large.bin", tree / "secret")
    (tree / "secret").chmod(0)
    (tree / "locked").chmod(0)
    out.chmod(0o777)
    process = both.start("adopt", str(tree), *ONE, "--dir", str(out), wrapper=NOBODY, HOME=str(tmp_path))
    told, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "1 file, 60.0 kB adopted" in told
    assert "locked: Permission denied: not looked into" in err
    assert "secret: Permission denied: not used" in err


def test_a_hard_link_only_where_it_is_asked_for_and_never_of_code(both: Hubs, repo: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(repo, old)
    told = adopt(both, tmp_path / "linked", str(old), "--hardlink")
    assert told["models"] == {"Repo": "ready"}
    shared = {name for name in FILES if os.path.samefile(old / name, tmp_path / "linked" / "Repo" / name)}
    assert shared == set(FILES) - {"code.py"}  # ACE-Step rewrites it in place
    adopt(both, tmp_path / "copied", str(old))
    assert not any(os.path.samefile(old / name, tmp_path / "copied" / "Repo" / name) for name in FILES)
    assert both.sent == 0


def test_a_reflink_or_nothing(both: Hubs, repo: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(repo, old)
    can = platform.reflink(old / "vocab.txt", tmp_path / "trial")
    ended = both.run("adopt", str(old), *ONE, "--reflink", "--dir", str(tmp_path / "out"))
    assert ended.returncode == 0
    assert ("nothing left to fetch" in ended.stdout) == can
    assert ("cannot make a reflink" in ended.stderr) == (not can)


def test_what_was_complete_once_is_mended_without_any_hub(both: Hubs, repo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert both.run(*ONE, "--dir", str(out), "--progress", "none").returncode == 0
    shutil.copy(out / "Repo" / "large.bin", tmp_path / "kept elsewhere")
    (out / "Repo" / "large.bin").write_bytes(b"short")
    told = adopt(both, out, str(tmp_path), **DEAD)
    assert told["models"] == {"Repo": "ready"}
    assert tree_digests(out / "Repo") == tree_digests(repo)
    assert both.run("verify", "--dir", str(out)).returncode == 0


@pytest.mark.parametrize("command", ["adopt", "repair", "verify", "get"])
def test_a_receipt_of_somebody_elses_leads_nowhere(command: str, both: Hubs, repo: Path, tmp_path: Path) -> None:
    """It comes with a folder that was copied or mounted, and what is no part of a component is removed."""
    out, home = tmp_path / "out", tmp_path / "home"
    assert both.run(*ONE, "--dir", str(out), "--progress", "none").returncode == 0
    home.mkdir()
    (home / "thesis").write_text("years of work")
    (receipt,) = (out / ".acestep-fetch" / "receipts").glob("*.json")
    rows = json.loads(receipt.read_text())
    rows["commits"][str(home)] = rows["commits"]["Repo"]
    receipt.write_text(json.dumps(rows))
    (out / "Repo" / "large.bin").write_bytes(b"short")
    arguments = {"adopt": ["adopt", str(repo), *ONE], "get": [*ONE], "repair": ["repair"], "verify": ["verify"]}
    both.run(*arguments[command], "--dir", str(out), "--progress", "none")
    assert (home / "thesis").read_text() == "years of work"
    assert sorted(path.name for path in home.iterdir()) == ["thesis"]


async def test_a_list_of_what_is_needed_does_in_place_of_the_hubs(both: Hubs, repo: Path, tmp_path: Path) -> None:
    """As a lock has it: paths, sizes and digests."""
    assert both.run(*ONE, "--dir", str(tmp_path / "a"), "--progress", "none").returncode == 0
    (lock,) = all_receipts(Layout(tmp_path / "a").receipts)
    options = Options(
        directory=tmp_path / "b",
        models=(REPO,),
        skip_main=True,
        adopt=(repo,),
        adopt_only=True,
        huggingface_endpoint=DEAD["HF_ENDPOINT"],
        modelscope_endpoint=DEAD["MODELSCOPE_ENDPOINT"],
    )
    report = await fetch_async(options, lists=[lock])
    assert (report.models, report.error) == ({"Repo": "ready"}, None)
    assert tree_digests(tmp_path / "b" / "Repo") == tree_digests(repo)


def test_without_a_hub_nobody_knows_what_is_needed(both: Hubs, repo: Path, tmp_path: Path) -> None:
    rest = (*ONE, "--dir", str(tmp_path / "out"), "--json")
    for process in [both.start("adopt", str(repo), *rest, **DEAD), both.start("plan", *rest, **DEAD)]:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 5
        assert json.loads(out)["error"] | {"message": "", "attempts": []} == {
            "name": "network",
            "exit_code": 5,
            "retryable": True,
            "message": "",
            "hint": "check the connection (`acestep-fetch doctor` does); a proxy goes into HTTPS_PROXY, a mirror into "
            "HF_ENDPOINT",
            "attempts": [],
        }
        assert "no hub could be asked" in err


def test_a_folder_that_is_not_there(both: Hubs, tmp_path: Path) -> None:
    for arguments in (["adopt", str(tmp_path / "no")], ["get", "--adopt", str(tmp_path / "no")]):
        ended = both.run(*arguments, "--dir", str(tmp_path / "out"))
        assert (ended.returncode, "no such folder" in ended.stderr) == (2, True)
    nowhere = both.run(
        "adopt", "--dir", str(tmp_path / "out"), HOME=str(tmp_path), HF_HOME="/no", MODELSCOPE_CACHE="/no"
    )
    assert (nowhere.returncode, "adopt DIR" in nowhere.stderr) == (2, True)


def test_too_small_a_disk_is_said_before_a_byte_is_copied(both: Hubs, repo: Path, tmp_path: Path) -> None:
    small = "from acestep_fetch.storage import platform; platform.free_bytes = lambda folder: 40_000_000 - (8 << 20)"
    process = both.start("adopt", str(repo), *ONE, "--dir", str(tmp_path / "out"), patch=small)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert not any((tmp_path / "out").rglob("*.bin"))


def test_what_a_kill_left_of_a_copy_is_swept_away(both: Hubs, repo: Path, tmp_path: Path) -> None:
    staged = tmp_path / "out" / ".acestep-fetch" / "staging" / "Repo"
    staged.mkdir(parents=True)
    (staged / ".4711-3.tmp").write_bytes(b"x" * 1000)
    adopt(both, tmp_path / "out", str(tmp_path / "out"))
    assert not (staged / ".4711-3.tmp").exists()
