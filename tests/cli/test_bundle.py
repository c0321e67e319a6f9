"""`bundle`: models go to a box without a network, exactly what it lacks, and nothing wrong gets a name there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote, split
from typing import Any

import pytest

from acestep_fetch.core.errors import LeaseError
from acestep_fetch.core.model import Digest, HubName
from acestep_fetch.engine import packing
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.parts import PartFile, PieceWriter
from tests.cli.test_program import WATCHED
from tests.cli.test_upkeep import flip
from tests.disk.places import memory_disk
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.trees import make_catalogue, make_repo, tree_digests

MIB = 1 << 20
REPO = "made/Repo"
FILES = {
    "large.bin": 20 * MIB,
    "model.safetensors": 9 * MIB,
    "vocab.json": 3 * MIB,
    "notes.txt": 900,
    "config.json": 300,
    "empty": 0,
}
SIZE = sum(FILES.values())
WHAT = ("--model", REPO, "--skip-main")
DEAD = {"HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, REPO, FILES)
    make_repo(root, "made/Other", {"a.bin": 2 * MIB, "b.txt": 10})
    with hubs(root) as served:
        yield served


@pytest.fixture(scope="module")
def online(both: Hubs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A box that has both models. No test changes it."""
    out = tmp_path_factory.mktemp("online") / "checkpoints"
    ended = both.run(*WHAT, "--model", "made/Other", "--dir", str(out), "--progress", "none")
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.fixture(scope="module")
def lock(both: Hubs, online: Path) -> Path:
    path = online.parent / "the.lock"
    ended = both.run("lock", *WHAT, "--model", "made/Other", "-o", str(path), "--dir", str(online))
    assert ended.returncode == 0, ended.stderr
    return path


@pytest.fixture
def isolated(tmp_path: Path) -> Path:
    return tmp_path / "isolated"


def done(both: Hubs, *arguments: object, code: int = 0, **environment: str) -> Any:
    """The command on a box that reaches no hub."""
    ended = both.run(*map(str, arguments), **(DEAD | environment))
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def limited(both: Hubs, limit: str, *arguments: object) -> tuple[int, str]:
    """The command where the shell's `ulimit` holds; its code, and what it says."""
    wrapper = ("sh", "-c", f'ulimit {limit}; exec "$@"', "sh")
    process = both.start(*map(str, arguments), wrapper=wrapper, **DEAD)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    return process.returncode, said


def is_ready(both: Hubs, isolated: Path, *models: str) -> bool:
    """Whether the program says so, with sockets forbidden, and every byte is right."""
    names = [flag for model in models for flag in ("--model", model)]
    arguments = ["--offline", "--skip-main", *names, "--dir", str(isolated)]
    ended = subprocess.run([sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, check=False)
    root = both.hf.hub.setup.root
    right = all(tree_digests(isolated / m.split("/")[1]) == tree_digests(root / m) for m in models)
    return right and json.loads(ended.stdout.splitlines()[-1])["code"] == 0


def bundled(both: Hubs, online: Path, folder: Path, *more: str) -> list[Path]:
    """The volumes of a bundle of the model, of 8 MiB each."""
    done(both, "bundle", "create", *WHAT, "-o", folder, "--dir", online, "--split", "8MiB", *more)
    return sorted(folder.glob("volume-*.bin"))


def times(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("volume-*")}


def test_without_a_lock_whole_models_are_carried(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    asked = done(both, "bundle", "needs", *WHAT, "--dir", isolated, "-o", tmp_path / "needs.json")
    assert REPO in asked.stderr
    assert not isolated.exists()
    packed = done(both, "bundle", "create", tmp_path / "needs.json", "-o", tmp_path / "usb", "--dir", online)
    assert "Repo: 1 volume" in packed.stderr
    (volume,) = (tmp_path / "usb").glob("volume-*.bin")
    assert volume.stat().st_size == SIZE
    brought = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, "--progress", "json")
    told = events(brought.stdout)
    assert told[-1]["models"] == {"Repo": "ready"}
    assert told[-1]["bytes_fetched"] == SIZE
    assert is_ready(both, isolated, REPO)
    assert not list((isolated / ".acestep-fetch" / "parts").glob("*"))
    again = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated)
    assert "up to date" in again.stderr
    assert done(both, "verify", "--dir", isolated).returncode == 0
    nothing = done(both, "bundle", "needs", *WHAT, "--dir", isolated)
    assert "nothing is lacking" in nothing.stderr
    (tmp_path / "none.json").write_text(nothing.stdout)
    assert "no bundle is needed" in done(both, "bundle", "create", tmp_path / "none.json", "-o", tmp_path / "x").stderr
    assert not (tmp_path / "x").exists()


def test_needs_open_no_socket(both: Hubs, lock: Path, isolated: Path) -> None:
    arguments = ["bundle", "needs", "--lock", str(lock), "--dir", str(isolated)]
    ended = subprocess.run([sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, check=False)
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["code"] == 0, ended.stderr
    assert {"aiohttp", "httpx", "huggingface_hub", "modelscope", "rich"}.isdisjoint(told["modules"])


def test_only_the_bytes_that_are_missing_are_carried(
    both: Hubs, online: Path, lock: Path, isolated: Path, tmp_path: Path
) -> None:
    """A download was stopped, a small file is there by hand, and another model is whole."""
    done(both, "bundle", "create", "-m", "made/Other", "--skip-main", "-o", tmp_path / "first", "--dir", online)
    done(both, "bundle", "import", tmp_path / "first", "--dir", isolated)
    (isolated / "Repo").mkdir()
    shutil.copy(online / "Repo" / "vocab.json", isolated / "Repo")
    held = _stopped_at(online / "Repo" / "large.bin", isolated, [(0, 6), (12, 20)])
    done(both, "bundle", "needs", "--lock", lock, "--dir", isolated, "-o", tmp_path / "needs.json")
    needs = json.loads((tmp_path / "needs.json").read_text())
    assert set(needs["models"]) == {"Repo"}
    assert needs["lacks"]["Repo/large.bin"] == [[6 * MIB, 12 * MIB]]
    assert set(needs["lacks"]) == {"Repo/large.bin", "Repo/model.safetensors", "Repo/notes.txt", "Repo/config.json"}
    done(both, "bundle", "create", tmp_path / "needs.json", "-o", tmp_path / "usb", "--dir", online, "--split", "4MiB")
    volumes = list((tmp_path / "usb").glob("volume-*.bin"))
    assert sum(volume.stat().st_size for volume in volumes) == SIZE - held - 3 * MIB
    assert len(volumes) == 4
    done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated)
    assert is_ready(both, isolated, REPO, "made/Other")


def _stopped_at(whole: Path, isolated: Path, spans: list[tuple[int, int]], bad: bool = False) -> int:
    """A part file with these MiB of `whole`, as an earlier run leaves it; returns how many bytes."""
    data = whole.read_bytes()
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    part = PartFile.open(Layout(isolated).part(digest), len(data), digest, ["huggingface", "modelscope"])
    for start, stop in spans:
        writer = PieceWriter(part, "huggingface", start * MIB)
        right = data[start * MIB : stop * MIB]
        writer.write([bytes(len(right)) if bad else right])
        writer.finish()
    part.close()
    return sum(stop - start for start, stop in spans) * MIB


def test_needs_that_are_out_of_date_are_written_anew(
    both: Hubs, online: Path, lock: Path, isolated: Path, tmp_path: Path
) -> None:
    _stopped_at(online / "Repo" / "large.bin", isolated, [(0, 6)])
    done(both, "bundle", "needs", "--lock", lock, "--dir", isolated, "-o", tmp_path / "needs.json")
    done(both, "bundle", "create", tmp_path / "needs.json", "-o", tmp_path / "usb", "--dir", online)
    (part,) = (isolated / ".acestep-fetch" / "parts").glob("*.part")
    flip(part, 3 * MIB)
    lacking = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, code=3)
    assert "Repo/large.bin: bytes " in lacking.stderr
    assert "bundle needs" in lacking.stderr
    assert not (isolated / "Repo").exists()
    assert is_ready(both, isolated, "made/Other")
    done(both, "bundle", "needs", "--lock", lock, "--dir", isolated, "-o", tmp_path / "needs.json")
    again = json.loads((tmp_path / "needs.json").read_text())["lacks"]
    assert set(again) == {"Repo/large.bin"}
    assert sum(stop - start for start, stop in again["Repo/large.bin"]) <= 8 * MIB
    done(both, "bundle", "create", tmp_path / "needs.json", "-o", tmp_path / "usb2", "--dir", online)
    done(both, "bundle", "import", tmp_path / "usb2", "--dir", isolated)
    assert is_ready(both, isolated, REPO, "made/Other")


def test_what_an_earlier_run_was_lied_about_is_thrown_away(
    both: Hubs, online: Path, lock: Path, isolated: Path, tmp_path: Path
) -> None:
    """Its pieces are as they came, and wrong: only the digest of the whole tells."""
    _stopped_at(online / "Repo" / "large.bin", isolated, [(0, 6)], bad=True)
    for usb, code in (("usb", 6), ("usb2", 0)):
        done(both, "bundle", "needs", "--lock", lock, "--dir", isolated, "-o", tmp_path / "needs.json")
        done(both, "bundle", "create", tmp_path / "needs.json", "-o", tmp_path / usb, "--dir", online)
        ended = done(both, "bundle", "import", tmp_path / usb, "--dir", isolated, code=code)
        assert ("though the volumes are undamaged" in ended.stderr) == bool(code)
        assert (isolated / "Repo").exists() != bool(code)
    assert is_ready(both, isolated, REPO)


def test_what_an_earlier_run_was_lied_about_is_copied_again_where_the_bundle_has_it(
    both: Hubs, online: Path, isolated: Path, tmp_path: Path
) -> None:
    """As a volume leaves it that was damaged when it was copied from, and has been replaced since."""
    bundled(both, online, tmp_path / "usb")
    _stopped_at(online / "Repo" / "large.bin", isolated, [(0, 6)], bad=True)
    brought = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, "--progress", "json")
    told = events(brought.stdout)
    (dropped,) = [event for event in told if event["event"] == "bytes_dropped"]
    assert (dropped["path"], dropped["count"]) == ("Repo/large.bin", 6 * MIB)
    assert told[-1]["bytes_fetched"] == SIZE
    assert is_ready(both, isolated, REPO)


def test_volumes_that_were_swapped_are_all_named_and_leave_nothing(
    both: Hubs, online: Path, isolated: Path, tmp_path: Path
) -> None:
    first, second, *_ = bundled(both, online, tmp_path / "usb")
    shutil.copytree(tmp_path / "usb", tmp_path / "kept")
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    ended = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, code=6)
    said = f"{first.name} is damaged, {second.name} is damaged; not whole: Repo/config.json and 1 more"
    assert said in ended.stderr
    assert "tried:" not in ended.stderr  # nothing was: these are the files that it is about
    shutil.copytree(tmp_path / "kept", tmp_path / "usb", dirs_exist_ok=True)
    again = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, "--progress", "json")
    assert 0 < events(again.stdout)[-1]["bytes_fetched"] <= 17 * MIB  # of the other three nothing
    assert is_ready(both, isolated, REPO)


def test_volumes_may_come_one_at_a_time(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    """What came from a volume that is not there any more is kept, whatever else is missing."""
    done(both, "bundle", "create", *WHAT, "-o", tmp_path / "usb", "--dir", online, "--split", "7MiB")
    volumes = sorted((tmp_path / "usb").glob("volume-*.bin"))
    assert len(volumes) == 5
    copied = 0
    for volume in volumes:
        slot = tmp_path / volume.stem
        slot.mkdir()
        for path in (volume, tmp_path / "usb" / "bundle.json"):
            shutil.copy(path, slot)
        code = 0 if volume == volumes[-1] else 6
        ended = done(both, "bundle", "import", slot, "--dir", isolated, "--progress", "json", code=code)
        copied += (told := events(ended.stdout)[-1])["bytes_fetched"]
        if volume == volumes[1]:
            lacking = ", ".join(f"{other.name} is missing" for other in volumes[2:])
            assert told["error"].endswith(f": {lacking}; not whole: Repo/large.bin and 3 more")
    assert copied == SIZE
    assert is_ready(both, isolated, REPO)


@pytest.mark.parametrize("how", ["missing", "damaged", "cut short"])
def test_a_bad_volume_is_named_and_everything_else_is_kept(
    how: str, both: Hubs, online: Path, isolated: Path, tmp_path: Path
) -> None:
    done(
        both, "bundle", "create", *WHAT, "-m", "made/Other", "-o", tmp_path / "usb", "--dir", online, "--split", "8MiB"
    )
    volumes = sorted((tmp_path / "usb").glob("volume-*.bin"))
    victim, kept = volumes[2], tmp_path / "kept"
    shutil.copy(victim, kept)
    if how == "missing":
        victim.unlink()
    elif how == "damaged":
        flip(victim, 5 * MIB)
    else:
        victim.write_bytes(kept.read_bytes()[: 3 * MIB])
    ended = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, "--progress", "plain", code=6)
    assert f"volume-0003.bin is {how}" in ended.stderr
    assert "copy the volume once more" in ended.stderr
    assert not (isolated / "Repo").exists()
    assert is_ready(both, isolated, "made/Other")
    shutil.copy(kept, victim)
    again = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, "--progress", "json")
    told = events(again.stdout)
    copied = told[-1]["bytes_fetched"]
    assert told[-1]["by_source"] == {"bundle": copied}
    assert {hub for line in told if line["event"] == "file_done" for hub in line["by_source"]} == {"bundle"}
    assert 0 < copied <= 16 * MIB  # of the files that it has bytes of, no more than it and its neighbour
    assert is_ready(both, isolated, REPO, "made/Other")


@pytest.mark.parametrize(("number", "file"), [(0, "config.json"), (1, "large.bin")])
def test_a_bundle_that_lies_gives_nothing_a_name(
    number: int, file: str, both: Hubs, online: Path, isolated: Path, tmp_path: Path
) -> None:
    volumes = bundled(both, online, tmp_path / "usb")
    flip(volumes[number], 7)
    rows = json.loads((tmp_path / "usb" / "bundle.json").read_text())
    for row, volume in zip(rows["volumes"], volumes, strict=True):
        row["sha256"] = hashlib.sha256(volume.read_bytes()).hexdigest()
    (tmp_path / "usb" / "bundle.json").write_text(json.dumps(rows))
    ended = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, code=6)
    assert f"Repo/{file}: its bytes are not what the lock says, though the volumes are undamaged" in ended.stderr
    assert not (isolated / "Repo").exists()


def test_no_name_in_a_bundle_leads_out_of_the_folder(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    """What is no part of a component is removed where it is put together, so its name must not be somebody's home."""
    bundled(both, online, tmp_path / "usb")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").write_text("years of work")
    rows = json.loads((tmp_path / "usb" / "bundle.json").read_text())
    for name in (str(tmp_path / "home"), "../../../../home"):
        for components in (["Repo", name], [name]):
            rows["models"]["Repo"]["components"] = components
            (tmp_path / "usb" / "bundle.json").write_text(json.dumps(rows))
            for command in (("bundle", "import", tmp_path / "usb"), ("--lock", tmp_path / "usb" / "bundle.json")):
                ended = done(both, *command, "--dir", isolated, code=2)
                assert "is no plain name" in ended.stderr
    assert text_of(tmp_path / "home" / "thesis") == "years of work"
    assert not isolated.exists()


def test_a_volume_that_is_a_pipe_is_not_waited_for(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    volume = bundled(both, online, tmp_path / "usb")[1]
    volume.unlink()
    os.mkfifo(volume)
    ended = done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, code=6)
    assert f"{volume.name} is unreadable (not a file)" in ended.stderr


@pytest.mark.parametrize("name", ["README.md", "code.py"])
def test_code_that_never_was_the_locks_is_needed(name: str, tmp_path: Path) -> None:
    """What `needs` leaves out `import` must not want."""
    make_repo(tmp_path / "hub", REPO, {"a.bin": 2 * MIB, name: 4000})
    with hubs(tmp_path / "hub") as pair:
        online, isolated, lock = tmp_path / "online", tmp_path / "isolated", tmp_path / "the.lock"
        assert pair.run(*WHAT, "--dir", str(online), "--progress", "none").returncode == 0
        done(pair, "lock", *WHAT, "-o", lock, "--dir", online, "--offline")
        (isolated / "Repo").mkdir(parents=True)
        (isolated / "Repo" / name).write_text("somebody's")
        done(pair, "bundle", "needs", "--lock", lock, "--dir", isolated, "-o", tmp_path / "needs.json")
        done(pair, "bundle", "create", tmp_path / "needs.json", "-o", tmp_path / "usb", "--dir", online)
        done(pair, "bundle", "import", tmp_path / "usb", "--dir", isolated)
        assert tree_digests(isolated / "Repo") == tree_digests(tmp_path / "hub" / REPO)


@pytest.mark.parametrize("what", ["a pipe", "/dev/zero"])
def test_a_list_of_a_bundle_that_is_no_file_is_neither_waited_for_nor_read(
    what: str, both: Hubs, online: Path, tmp_path: Path
) -> None:
    usb, name = tmp_path / "usb", tmp_path / "usb" / "bundle.json"
    usb.mkdir()
    if what == "a pipe":
        os.mkfifo(name)
    else:
        name.symlink_to(what)
    for command in (("import", usb, "--dir", tmp_path / "x"), ("create", *WHAT, "-o", usb, "--dir", online)):
        assert limited(both, "-v 4000000", "bundle", *command) == (
            2,
            f"acestep-fetch: {name}: not a file\n  → name the folder that `acestep-fetch bundle create` made\n",
        )


def test_needs_may_come_through_a_pipe_and_have_an_end(
    both: Hubs, online: Path, isolated: Path, tmp_path: Path
) -> None:
    pipe, usb = tmp_path / "pipe", tmp_path / "usb"
    text = done(both, "bundle", "needs", *WHAT, "--dir", isolated).stdout
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    done(both, "bundle", "create", pipe, "-o", usb, "--dir", online)
    writer.join()
    code, said = limited(both, "-v 4000000", "bundle", "create", "/dev/zero", "-o", usb, "--dir", online)
    assert (code, "/dev/zero: it is longer than 64 MiB" in said) == (2, True)
    (tmp_path / "usb" / "bundle.json").write_bytes(bytes((64 << 20) + 1))
    long = done(both, "bundle", "import", usb, "--dir", isolated, code=2)
    assert "bundle.json: it is longer than 64 MiB" in long.stderr


def test_volumes_that_are_there_and_right_are_not_written_again(both: Hubs, online: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    volumes = bundled(both, online, usb)
    assert len(volumes) == 5
    before = times(usb)
    bundled(both, online, usb)
    assert times(usb) == before
    flip(volumes[0], 10)
    volumes[4].unlink()
    content = {path.name: path.read_bytes() for path in volumes[1:4]}
    bundled(both, online, usb)
    after = times(usb)
    assert {name for name in after if after[name] != before[name]} == {volumes[0].name, volumes[4].name}
    assert {path.name: path.read_bytes() for path in volumes[1:4]} == content
    assert not list(usb.glob("*.part"))


SLOW_PACKING = """
import time
from acestep_fetch.engine import packing
real = packing._blocks
def blocks(path):
    for each in real(path):
        time.sleep(0.4)
        yield each
packing._blocks = blocks
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_packing_that_was_killed_goes_on(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    command = ["bundle", "create", *WHAT, "-o", str(usb), "--dir", str(online), "--split", "8MiB"]
    process = both.start(*command, patch=SLOW_PACKING)
    until(lambda: re.search(r'"name": "volume-0001.bin", "sha256": "[0-9a-f]', text_of(usb / "bundle.json")))
    process.kill()
    process.communicate()
    early = done(both, "bundle", "import", usb, "--dir", isolated, code=6)
    assert "is not finished" in early.stderr
    before = times(usb)["volume-0001.bin"]
    bundled(both, online, usb)
    assert times(usb)["volume-0001.bin"] == before
    assert packing.CLAIM not in names_in(usb)  # which the kill had left
    done(both, "bundle", "import", usb, "--dir", isolated)
    assert is_ready(both, isolated, REPO)


def test_one_at_a_time_packs_into_a_folder(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    command = ["bundle", "create", *WHAT, "-o", str(usb), "--dir", str(online)]
    process = both.start(*command, patch=SLOW_PACKING)
    until(lambda: (usb / "volume-0001.bin.part").exists())
    second = done(both, *command, code=9)
    assert f"{usb}: another `bundle create` is writing into it" in second.stderr
    assert process.communicate(timeout=60)[1] == f"{usb}: Repo: 1 volume, 33.6 MB\n"
    assert process.returncode == 0
    assert names_in(usb) == ["bundle.json", "volume-0001.bin"]
    done(both, "bundle", "import", usb, "--dir", isolated)
    assert is_ready(both, isolated, REPO)


def test_a_claim_that_its_owner_removes_is_nobodys(tmp_path: Path) -> None:
    """Who has opened it just before holds the lock of a file without a name, which keeps nobody out."""
    inside, most, turns = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, turns
        for _ in range(400):
            try:
                with packing._alone(tmp_path):
                    inside += 1
                    most = max(most, inside)
                    time.sleep(0)
                    turns += 1
                    inside -= 1
            except LeaseError:
                time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns
    assert most == 1
    assert not names_in(tmp_path)


def test_a_claim_without_an_owner_is_no_other_file(both: Hubs, online: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    usb.mkdir()
    (usb / packing.CLAIM).touch()
    bundled(both, online, usb)
    assert packing.CLAIM not in names_in(usb)


def test_a_content_may_have_more_volumes_than_files_may_be_open(both: Hubs, online: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    command = ("bundle", "create", *WHAT, "-o", usb, "--dir", online, "--split", "1MB")
    assert limited(both, "-n 20", *command) == (0, f"{usb}: Repo: 34 volumes, 33.6 MB\n")
    digests = {row["name"]: row["sha256"] for row in json.loads((usb / "bundle.json").read_text())["volumes"]}
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in usb.glob("*.bin")} == digests


def test_what_an_earlier_run_left_unfinished_counts_as_room(both: Hubs, online: Path, tmp_path: Path) -> None:
    with memory_disk(tmp_path / "small", 56) as disk:
        command = ["bundle", "create", *WHAT, "-o", str(disk / "usb"), "--dir", str(online)]
        process = both.start(*command, patch=SLOW_PACKING)
        part = disk / "usb" / "volume-0001.bin.part"
        until(lambda: part.exists() and part.stat().st_size >= 16 * MIB)
        process.kill()
        process.communicate()
        done(both, *command)
        (disk / "usb" / "volume-0001.bin").unlink()
        (disk / "filler").write_bytes(bytes(16 * MIB))
        assert "not enough disk space" in done(both, *command, code=7).stderr


SLOW = """
import time
from acestep_fetch.engine import unpacking
real = unpacking._read
def read(*given):
    time.sleep(0.4)
    return real(*given)
unpacking._read = read
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_an_import_that_was_stopped_goes_on(
    number: int, code: int, both: Hubs, online: Path, isolated: Path, tmp_path: Path
) -> None:
    usb = tmp_path / "usb"
    bundled(both, online, usb)
    process = both.start("bundle", "import", str(usb), "--dir", str(isolated), "--progress", "none", patch=SLOW)
    until(lambda: sum(p.stat().st_size for p in isolated.glob(".acestep-fetch/parts/*.journal")) > 400)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert not (isolated / "Repo").exists()
    again = done(both, "bundle", "import", usb, "--dir", isolated, "--progress", "json")
    told = events(again.stdout)
    copied = told[-1]["bytes_fetched"]
    assert told[-1]["by_source"] == {"bundle": copied}
    assert {hub for line in told if line["event"] == "file_done" for hub in line["by_source"]} == {"bundle"}
    assert 0 < copied < SIZE - MIB
    assert is_ready(both, isolated, REPO)


def test_who_looks_or_waits_sees_how_far_an_import_is(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    bundled(both, online, usb)
    process = both.start("bundle", "import", str(usb), "--dir", str(isolated), "--progress", "none", patch=SLOW)
    lease = Layout(isolated).lease
    until(lambda: (holder := Lease.holder(lease)) and 0 < holder.done < holder.total == SIZE)
    seen = json.loads(done(both, "status", "--json", "--dir", isolated, code=11).stdout)["running"]
    assert (seen["pid"], seen["models"], seen["total"]) == (process.pid, ["Repo"], SIZE)
    assert 0 < seen["done"] < SIZE
    over = done(both, "wait", REPO, "--timeout", "0", "--dir", isolated, code=9)
    assert f"process {process.pid} on" in over.stderr
    assert re.search(r"\d %", over.stderr)
    waiter = both.start("wait", REPO, "-q", "--dir", str(isolated))
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert waiter.communicate(timeout=60) == (f"{isolated / 'Repo'}\n", "")


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def until(condition: Any, seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.01)


def test_somebody_else_writes_there(both: Hubs, online: Path, isolated: Path, tmp_path: Path) -> None:
    bundled(both, online, tmp_path / "usb")
    lease = Lease.take(Layout(isolated).lease)
    assert isinstance(lease, Lease)
    try:
        done(both, "bundle", "import", tmp_path / "usb", "--dir", isolated, code=9, ACESTEP_FETCH_LEASE_WAIT="0")
    finally:
        lease.release()
    assert not (isolated / "Repo").exists()


def test_what_is_not_here_cannot_be_packed(both: Hubs, lock: Path, isolated: Path, tmp_path: Path) -> None:
    empty, usb, asked = tmp_path / "em pty", tmp_path / "usb", tmp_path / "the needs.json"
    model = done(both, "bundle", "create", *WHAT, "-o", usb, "--dir", empty, code=11)
    assert f"acestep-fetch --skip-main --model {REPO} --dir {quote(str(empty))}" in model.stderr
    locked = done(both, "bundle", "create", "--lock", lock, "-o", usb, "--dir", empty, code=11)
    assert f"acestep-fetch --lock {lock} --dir {quote(str(empty))}" in locked.stderr
    done(both, "bundle", "needs", "--lock", lock, "--dir", isolated, "-o", asked)
    needed = done(both, "bundle", "create", asked, "-o", usb, "--dir", empty, code=11)
    command = f"acestep-fetch --lock {quote(str(asked))} --dir {quote(str(empty))}"
    assert command in needed.stderr
    assert not usb.exists()
    assert both.run(*split(command)[1:], "--progress", "none").returncode == 0  # the needs are a lock
    done(both, "bundle", "create", asked, "-o", usb, "--dir", empty)


def test_a_file_that_rotted_is_not_packed(both: Hubs, online: Path, tmp_path: Path) -> None:
    rotten, usb = tmp_path / "rotten", tmp_path / "usb"
    shutil.copytree(online, rotten)
    flip(rotten / "Repo" / "large.bin", 15 * MIB)
    ended = done(both, "bundle", "create", *WHAT, "-o", usb, "--dir", rotten, "--split", "4MiB", code=6)
    assert "Repo/large.bin" in ended.stderr
    assert "acestep-fetch repair" in ended.stderr
    assert len(list(usb.glob("volume-*.bin"))) <= 1
    assert both.run("repair", "--dir", str(rotten), "--progress", "none").returncode == 0
    done(both, "bundle", "create", *WHAT, "-o", usb, "--dir", rotten, "--split", "4MiB")
    done(both, "bundle", "import", usb, "--dir", tmp_path / "isolated")
    assert is_ready(both, tmp_path / "isolated", REPO)


def test_wrong_folders_and_flags(both: Hubs, online: Path, tmp_path: Path) -> None:
    usb, full = tmp_path / "usb", tmp_path / "full"
    bundled(both, online, usb)
    other = done(both, "bundle", "create", "-m", "made/Other", "--skip-main", "-o", usb, "--dir", online, code=2)
    assert "another bundle" in other.stderr
    full.mkdir()
    (full / "mine").touch()
    done(both, "bundle", "create", *WHAT, "-o", full, "--dir", online, code=2)
    done(both, "bundle", "create", *WHAT, "-o", usb, "--dir", online, "--split", "much", code=2)
    tiny = done(both, "bundle", "create", *WHAT, "-o", usb, "--dir", online, "--split", "999kB", code=2)
    assert "--split: 999kB is too little for a volume" in tiny.stderr
    assert "give 1MB or more" in tiny.stderr
    done(both, "bundle", "create", full / "mine", *WHAT, "-o", usb, code=2)
    done(both, "bundle", "import", full, "--dir", tmp_path / "x", code=2)
    done(both, "bundle", "import", tmp_path / "nowhere", "--dir", tmp_path / "x", code=2)
    done(both, "bundle", code=2)
    assert not (tmp_path / "x").exists()


def test_the_main_model_and_one_that_shares_a_file_with_it(tmp_path: Path) -> None:
    for hub in HubName:
        make_catalogue(tmp_path / hub.value, scale=0.0005, hub=hub, models=["main", "acestep-v15-sft"])
    online, isolated, usb = tmp_path / "online", tmp_path / "isolated", tmp_path / "usb"
    with hubs(tmp_path / "huggingface", tmp_path / "modelscope") as pair:
        models = ("--model", "acestep-v15-sft")
        assert pair.run(*models, "--dir", str(online), "--progress", "none").returncode == 0
        done(pair, "bundle", "needs", *models, "--dir", isolated, "-o", tmp_path / "needs.json")
        done(pair, "bundle", "create", tmp_path / "needs.json", "-o", usb, "--dir", online)
        brought = done(pair, "bundle", "import", usb, "--dir", isolated, "--progress", "json")
        ready = [event for event in events(brought.stdout) if event["event"] == "model_ready"]
        assert [event["model"] for event in ready] == ["main", "acestep-v15-sft"]  # not by the alphabet
        assert sum(len(event["folders"]) for event in ready) == 5
        assert tree_digests(isolated) == tree_digests(online)
        packed = sum(path.stat().st_size for path in usb.glob("volume-*"))
        whole = sum(
            path.stat().st_size for path in online.rglob("*") if ".acestep-fetch" not in path.parts and path.is_file()
        )
        assert packed < whole
        done(pair, *models, "--dir", isolated, "--offline")
