"""`lock`, `sums` and `--locked`: what is written down is what is fetched, or nothing is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch import Options, api
from acestep_fetch.core.errors import LockedError
from acestep_fetch.core.lock import Lock, parse
from acestep_fetch.core.model import HubName
from acestep_fetch.core.sums import sum_line
from tests.cli.test_revisions import update
from tests.cli.test_upkeep import flip
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.faults import FlipBit, Rule
from tests.support.recorder import Kind
from tests.support.trees import content_of, make_catalogue, make_repo, tree_digests

MIB = 1 << 20
REPO = "made/Repo"
FILES: dict[str, bytes | int] = {
    "large.bin": 12 * MIB,
    "vocab.json": 3 * MIB,
    "notes.txt": 900,
    "code.py": 400,
    "config.json": 300,
}
NEWER: dict[str, bytes | int] = {"config.json": b'{"newer": true}', "more.bin": 70_000}
WHAT = ("--model", REPO, "--skip-main")


@contextmanager
def two(tmp_path: Path, files: dict[str, bytes | int] = FILES, **settings: Any) -> Iterator[Hubs]:
    for hub in ("hf", "ms"):
        make_repo(tmp_path / hub, REPO, files)
    with hubs(tmp_path / "hf", tmp_path / "ms", rescan_after=0.0, **settings) as pair:
        yield pair


def written(pair: Hubs, path: Path, *more: str) -> Any:
    return pair.run("lock", *WHAT, "-o", str(path), *more)


def fetched(pair: Hubs, out: Path, *more: str, **environment: str) -> Any:
    return pair.run("--dir", str(out), "--progress", "plain", *more, **environment)


def lock_of(path: Path) -> Lock:
    return parse(path.read_bytes(), path.name)[0]


def move_on(tmp_path: Path, files: dict[str, bytes | int]) -> None:
    for hub in ("hf", "ms"):
        update(tmp_path, hub, files)


def test_the_lock_has_all_that_both_hubs_say_and_is_the_same_each_time(tmp_path: Path) -> None:
    with two(tmp_path) as pair:
        ended = written(pair, tmp_path / "a.lock", "--dir", str(tmp_path / "out"))
        assert ended.returncode == 0, ended.stderr
        assert "written: 1 model, 5 files" in ended.stderr
        assert written(pair, tmp_path / "b.lock", "--prefer-source", "huggingface").returncode == 0
        assert pair.sent == 0
    text = (tmp_path / "a.lock").read_bytes()
    assert text == (tmp_path / "b.lock").read_bytes()
    json.loads(text)
    (model,) = lock_of(tmp_path / "a.lock").models
    assert (model.name, model.repo, model.folder) == ("Repo", REPO, "Repo")
    assert set(model.commits) == {"huggingface", "modelscope"}
    found = {file.path.removeprefix("Repo/"): file for file in model.files}
    assert {path: file.sha256 for path, file in found.items()} == tree_digests(tmp_path / "hf" / REPO)
    assert [path for path, file in found.items() if file.git_sha1] == [
        "code.py",
        "config.json",
        "notes.txt",
        "vocab.json",
    ]
    assert "4 small files: the sha256 is as ModelScope lists it" in ended.stderr
    assert len(text.splitlines()) == 13 + len(FILES)


def test_a_sha256_that_only_a_doubtful_list_knows_is_not_written(tmp_path: Path) -> None:
    """ModelScope has another large file: that its config.json is ours is not to be believed."""
    with two(tmp_path) as pair:
        update(tmp_path, "ms", {"large.bin": content_of("another", 12 * MIB)})
        assert written(pair, tmp_path / "a.lock").returncode == 0
        found = {file.path: file for file in lock_of(tmp_path / "a.lock").models[0].files}
        assert found["Repo/config.json"].sha256 is None
        assert found["Repo/config.json"].git_sha1
        sums = pair.run("sums", "--lock", str(tmp_path / "a.lock"))
        assert sums.returncode == 11
        assert "Repo/config.json" in sums.stderr
        assert fetched(pair, tmp_path / "out", *WHAT, "--lock", str(tmp_path / "a.lock")).returncode == 0
        assert written(pair, tmp_path / "b.lock", "--dir", str(tmp_path / "out")).returncode == 0  # known by now
        assert all(file.sha256 for file in lock_of(tmp_path / "b.lock").models[0].files)


def test_a_lock_that_differs_is_kept_shown_and_updated(tmp_path: Path) -> None:
    path = tmp_path / "the.lock"
    with two(tmp_path) as pair:
        assert written(pair, path).returncode == 0
        before = path.read_bytes()
        again = pair.run("lock", "-o", str(path))  # with nothing named, what it has
        assert (again.returncode, path.read_bytes()) == (0, before)
        assert "unchanged" in again.stderr
        move_on(tmp_path, NEWER)
        kept = pair.run("lock", "-o", str(path))
        assert (kept.returncode, path.read_bytes()) == (12, before)
        assert "left as it is" in kept.stderr
        assert ", and 3 more" in kept.stderr
        assert "tried:" not in kept.stderr
        assert "--update" in kept.stderr
        shown = pair.run("lock", "-o", str(path), "--diff")
        assert (shown.returncode, path.read_bytes()) == (12, before)
        assert "config.json" not in shown.stderr  # it is said once
        assert "+ Repo/more.bin: sha256:" in shown.stdout
        assert "~ Repo/config.json: sha256:" in shown.stdout
        assert "~ Repo: Hugging Face " in shown.stdout
        taken = pair.run("lock", "-o", str(path), "--update", "--diff")
        assert taken.returncode == 0
        assert taken.stdout == shown.stdout
        assert pair.run("lock", "-o", str(path)).returncode == 0


def test_an_update_of_one_model_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "the.lock"
    with two(tmp_path) as pair:
        for hub in ("hf", "ms"):
            make_repo(tmp_path / hub, "made/Other", {"a.txt": 500})
        assert written(pair, path, "--model", "made/Other").returncode == 0
        move_on(tmp_path, NEWER)
        before = lock_of(path)
        assert pair.run("lock", "--skip-main", "-m", "made/Other", "-o", str(path), "--update").returncode == 0
        assert lock_of(path) == before
        assert pair.run("lock", "--skip-main", "-m", REPO, "-o", str(path), "--update").returncode == 0
        assert lock_of(path).find("Other") == before.find("Other")
        assert lock_of(path).find("Repo") != before.find("Repo")


def test_what_a_fetch_finds_out_is_no_difference(tmp_path: Path) -> None:
    """A file that a hub lists with git's digest only has a sha256 once it was here."""
    with two(tmp_path) as pair:
        path, nowhere = tmp_path / "a.lock", {"MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}

        def lock(*more: str) -> Any:
            return pair.run("lock", *WHAT, "-o", str(path), "--dir", str(tmp_path / "out"), *more, **nowhere)

        assert lock().returncode == 0
        before = path.read_bytes()
        assert any(not file.sha256 for model in lock_of(path).models for file in model.files)
        assert fetched(pair, tmp_path / "out", "--lock", str(path), **nowhere).returncode == 0
        again = lock()
        assert (again.returncode, path.read_bytes()) == (0, before), again.stderr
        assert "unchanged" in again.stderr
        assert lock("--diff").stdout == ""
        assert lock("--update").returncode == 0
    assert all(file.sha256 for model in lock_of(path).models for file in model.files)


def test_one_hub_is_enough_and_the_other_is_missed_aloud(tmp_path: Path) -> None:
    with two(tmp_path) as pair:
        nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
        ended = pair.run("lock", *WHAT, "-o", str(tmp_path / "a.lock"), **nowhere)
        assert ended.returncode == 0, ended.stderr
        assert "Hugging Face is not in the lock" in ended.stderr
    assert set(lock_of(tmp_path / "a.lock").models[0].commits) == {"modelscope"}


def test_all_that_is_published_is_locked_and_fetched_in_one_run(tmp_path: Path) -> None:
    for hub in HubName:
        make_catalogue(tmp_path / hub.value, scale=0.0005, hub=hub, models=["main", "acestep-5Hz-lm-0.6B"])
    names = {"main", "acestep-5Hz-lm-0.6B"}
    with hubs(tmp_path / "huggingface", tmp_path / "modelscope", rescan_after=0.0) as pair:
        ended = pair.run("lock", "--all", "-o", str(tmp_path / "all.lock"))
        assert ended.returncode == 0, ended.stderr
        assert "acestep-v15-small is not on any hub" in ended.stderr
        assert {model.name for model in lock_of(tmp_path / "all.lock").models} == names
        truth = tree_digests(tmp_path / "huggingface" / "ACE-Step" / "Ace-Step1.5")
        (tmp_path / "huggingface" / "ACE-Step" / "Ace-Step1.5" / "vae" / "config.json").write_text("{}")
        run = pair.run("--lock", str(tmp_path / "all.lock"), "--dir", str(tmp_path / "out"), "--progress", "json")
        assert run.returncode == 0, run.stderr
        assert set(events(run.stdout)[-1]["models"]) == names
        found = tree_digests(tmp_path / "out")
        assert {path: found[path] for path in truth} == truth
        offline = pair.run("lock", "--all", "--offline", "--dir", str(tmp_path / "out"), "-o", str(tmp_path / "b.lock"))
        assert offline.returncode == 11  # the others are not here
        named = ["-m", "main,0.6B", "--offline", "--dir", str(tmp_path / "out"), "-o", str(tmp_path / "b.lock")]
        assert pair.run("lock", *named).returncode == 0
    assert lock_of(tmp_path / "b.lock").find("main").commits == lock_of(tmp_path / "all.lock").find("main").commits  # type: ignore[union-attr]


@pytest.mark.parametrize("gone", [False, True], ids=["commit there", "commit gone"])
def test_a_branch_that_has_moved_on_changes_nothing(gone: bool, tmp_path: Path) -> None:
    """Where the commit is gone, too, whoever still lists the same bytes serves them."""
    path, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, path).returncode == 0
        truth = tree_digests(tmp_path / "hf" / REPO)
        update(tmp_path, "hf", {"more.bin": 5000, **({} if gone else NEWER)})
        update(tmp_path, "ms", {"more.bin": 6000, **({} if gone else {"large.bin": 3 * MIB})})
        if gone:
            rows = json.loads(path.read_text())
            rows["models"]["Repo"]["commits"] = {"huggingface": "a" * 40, "modelscope": "b" * 40}
            path.write_text(json.dumps(rows))
        ended = fetched(pair, out, "--lock", str(path))
        assert ended.returncode == 0, ended.stderr
        assert ("does not have" in ended.stderr) == gone
        assert tree_digests(out / "Repo") == truth
        assert fetched(pair, out, "--lock", str(path)).returncode == 0
        assert fetched(pair, out, *WHAT).returncode == 0  # a model is not updated without being asked
        assert tree_digests(out / "Repo") == truth


def test_what_is_ready_in_another_version_is_made_what_the_lock_says(tmp_path: Path) -> None:
    path, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, path).returncode == 0
        truth = tree_digests(tmp_path / "hf" / REPO)
        update(tmp_path, "hf", {"config.json": NEWER["config.json"]})
        assert fetched(pair, out, *WHAT, "--prefer-source", "huggingface").returncode == 0
        assert tree_digests(out / "Repo") != truth
        offline = fetched(pair, out, "--lock", str(path), "--offline")
        assert offline.returncode == 11
        assert "Repo/config.json: sha256:" in offline.stderr
        assert fetched(pair, out, "--lock", str(path)).returncode == 0
        assert tree_digests(out / "Repo") == truth
        assert fetched(pair, out, "--lock", str(path), "--offline").returncode == 0


@pytest.mark.parametrize("path", ["large.bin", "config.json", "code.py"])
def test_bytes_that_no_hub_has_any_more_end_with_12_before_the_first_byte(path: str, tmp_path: Path) -> None:
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        size = FILES[path]
        assert isinstance(size, int)
        rows = json.loads(lock.read_text())
        rows["models"]["Repo"]["commits"] = {"huggingface": "a" * 40, "modelscope": "b" * 40}
        lock.write_text(json.dumps(rows))
        move_on(tmp_path, {path: content_of("another", size)})
        ended = fetched(pair, out, "--lock", str(lock))
        assert ended.returncode == 12, ended.stderr
        assert f"Repo/{path}: the.lock says sha256:" in ended.stderr
        assert "Hugging Face has " in ended.stderr
        assert "ModelScope has sha256:" in ended.stderr
        assert "lock --update" in ended.stderr
        assert pair.sent == 0
        assert not (out / "Repo").exists()


def test_a_hub_that_cannot_be_asked_may_still_have_it(tmp_path: Path) -> None:
    lock = tmp_path / "the.lock"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        update(tmp_path, "ms", {"large.bin": content_of("another", 12 * MIB)})
        lock.write_text(re.sub(r'"modelscope": "[0-9a-f]{40}"', '"modelscope": "' + "b" * 40 + '"', lock.read_text()))
        ended = fetched(pair, tmp_path / "out", "--lock", str(lock), HF_ENDPOINT="http://127.0.0.1:9")
        assert ended.returncode == 5, ended.stderr
        assert "Hugging Face could not be asked" in ended.stderr


def test_a_hub_that_delivers_something_else_ends_with_12(tmp_path: Path) -> None:
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        for hub in (pair.hf, pair.ms):
            hub.faults.rules.append(Rule(FlipBit(at=5), path="config.json"))
        ended = fetched(pair, out, "--lock", str(lock))
        assert ended.returncode == 12, ended.stderr
        assert "Repo/config.json: the.lock says sha256:" in ended.stderr
        assert not (out / "Repo").exists()


def test_a_lock_whose_digests_contradict_one_another_is_never_fulfilled(tmp_path: Path) -> None:
    """The git digest is right and listed, the sha256 is another file's: both have to be."""
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        rows = json.loads(lock.read_text())
        rows["models"]["Repo"]["files"]["Repo/vocab.json"]["sha256"] = "a" * 64
        lock.write_text(json.dumps(rows))
        ended = fetched(pair, out, "--lock", str(lock))
        assert ended.returncode == 12, ended.stderr
        assert "Repo/vocab.json" in ended.stderr
        assert not (out / "Repo").exists()


@pytest.mark.parametrize("first", ["large.bin", "twin.bin"])
@pytest.mark.parametrize("right", [True, False])
def test_what_only_one_of_two_equal_files_is_said_to_be_counts_too(first: str, right: bool, tmp_path: Path) -> None:
    """One content is fetched once, for both: what the lock says of each of them has to be true of it."""
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    twin = content_of("one content", 3 * MIB)
    with two(tmp_path, {**FILES, "large.bin": twin, "twin.bin": twin}) as pair:
        assert written(pair, lock).returncode == 0
        rows = json.loads(lock.read_text())
        files = rows["models"]["Repo"]["files"]
        for name in ("large.bin", "twin.bin"):
            files[f"Repo/{name}"].pop("git_sha1", None)
        digest = hashlib.sha1(b"blob %d\0%b" % (len(twin), twin), usedforsecurity=False).hexdigest()
        files[f"Repo/{first}"]["git_sha1"] = digest if right else "a" * 40
        lock.write_text(json.dumps(rows))
        ended = fetched(pair, out, "--lock", str(lock))
        assert ended.returncode == (0 if right else 12), ended.stderr
        assert right or f"Repo/{first}: the.lock says" in ended.stderr
        assert (out / "Repo").exists() is right


def test_a_check_names_what_is_not_as_the_lock_has_it(tmp_path: Path) -> None:
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert fetched(pair, out, *WHAT).returncode == 0
        move_on(tmp_path, {"config.json": NEWER["config.json"]})
        assert written(pair, lock).returncode == 0
        check = ("--check", *WHAT, "--lock", str(lock))
        ended = fetched(pair, out, *check)
        assert ended.returncode == 11
        first = ended.stderr.splitlines()[0]
        assert first.startswith(f"acestep-fetch: Repo: not ready in {out}")
        assert "the.lock" in first
        assert fetched(pair, out, *check[1:]).returncode == 0
        assert fetched(pair, out, *check).returncode == 0


def test_words_that_cannot_all_be_true_are_not_written(tmp_path: Path) -> None:
    """Two repositories have one small file by Hugging Face's list, and two by ModelScope's."""
    lock, what = tmp_path / "the.lock", ("--model", "made/Other")
    same, other = content_of("same", 900), content_of("other", 900)
    with two(tmp_path, {**FILES, "notes.txt": same}) as pair:
        make_repo(tmp_path / "hf", "made/Other", {"notes.txt": same, "w.bin": 2 * MIB})
        make_repo(tmp_path / "ms", "made/Other", {"notes.txt": other, "w.bin": 2 * MIB})
        ended = written(pair, lock, *what)
        assert ended.returncode == 0, ended.stderr
        assert "no sha256 is known of Repo/notes.txt, Other/notes.txt: locked by git's digest" in ended.stderr
        rows = json.loads(lock.read_text())["models"]
        assert [rows[name]["files"][f"{name}/notes.txt"].keys() for name in ("Repo", "Other")] == [
            {"size", "git_sha1"},
            {"size", "git_sha1"},
        ]
        assert fetched(pair, tmp_path / "out", "--lock", str(lock)).returncode == 0
        assert (tmp_path / "out" / "Other" / "notes.txt").read_bytes() == same
        assert written(pair, lock, *what).returncode == 0


def test_what_was_fetched_is_remembered_of_code_that_was_rewritten(tmp_path: Path) -> None:
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        assert fetched(pair, out, *WHAT).returncode == 0
        sums = pair.run("sums", "--dir", str(out)).stdout
        (out / "Repo" / "code.py").write_text("# rewritten\n")
        (out / "Repo" / "notes.txt").unlink()
        assert fetched(pair, out, *WHAT).returncode == 0
        assert pair.run("sums", "--dir", str(out)).stdout == sums
        for more in (("--check",), ("--offline",), ()):
            assert fetched(pair, out, "--lock", str(lock), *more).returncode == 0
        assert (out / "Repo" / "code.py").read_text() == "# rewritten\n"


def test_code_that_never_was_the_locks_is_no_change_of_it(tmp_path: Path) -> None:
    """Only of what was right once it can be the application's doing that it is another now."""
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        (out / "Repo").mkdir(parents=True)
        (out / "Repo" / "code.py").write_text("# somebody's\n")
        assert fetched(pair, out, *WHAT).returncode == 0
        assert (out / "Repo" / "code.py").read_text() == "# somebody's\n"
        assert fetched(pair, out, "--lock", str(lock), "--offline").returncode == 11
        assert fetched(pair, out, "--lock", str(lock)).returncode == 0
        assert tree_digests(out / "Repo") == tree_digests(tmp_path / "hf" / REPO)


def test_a_model_that_the_lock_lacks(tmp_path: Path) -> None:
    lock = tmp_path / "the.lock"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        other = fetched(pair, tmp_path / "out", "--lock", str(lock), "--skip-main", "-m", "made/Other")
        assert other.returncode == 12, other.stderr
        assert "lock --update --skip-main --model made/Other" in other.stderr
        main = fetched(pair, tmp_path / "out", "--lock", str(lock), "-m", REPO)
        assert main.returncode == 12
        assert "--skip-main" in main.stderr
        moved = fetched(pair, tmp_path / "out", "--lock", str(lock), "--skip-main", "-m", "others/Repo")
        assert moved.returncode == 12
        for hub in (pair.hf, pair.ms):
            assert not hub.recorder.of(Kind.CONTENT)
        for hub in ("hf", "ms"):
            shutil.rmtree(tmp_path / hub / REPO)
        gone = fetched(pair, tmp_path / "out", "--lock", str(lock))
        assert gone.returncode == 12, gone.stderr
        assert "no hub has any more" in gone.stderr


def test_some_files_of_a_locked_model(tmp_path: Path) -> None:
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        some = ("--lock", str(lock), "--include", "*.json")
        assert fetched(pair, out, *some).returncode == 0
        assert set(tree_digests(out / "Repo")) == {"config.json", "vocab.json"}
        assert fetched(pair, out, *some, "--offline").returncode == 0
        assert fetched(pair, out, "--lock", str(lock), "--offline").returncode == 11


def test_files_that_the_application_has_rewritten_are_left_alone(tmp_path: Path) -> None:
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        assert fetched(pair, out, "--lock", str(lock)).returncode == 0
        (out / "Repo" / "code.py").write_text("# rewritten\n")
        again = fetched(pair, out, "--lock", str(lock), "--offline")
        assert again.returncode == 0, again.stderr
        assert "code.py" in again.stderr


def test_a_repair_goes_by_what_was_received_whatever_lock_is_set(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with two(tmp_path) as pair:
        for hub in ("hf", "ms"):
            make_repo(tmp_path / hub, "made/Other", {"a.txt": 500})
        assert written(pair, tmp_path / "the.lock", "--model", "made/Other").returncode == 0
        assert fetched(pair, out, *WHAT).returncode == 0
        truth = tree_digests(out / "Repo")
        flip(out / "Repo" / "large.bin", 7)
        other = tmp_path / "other.lock"
        assert pair.run("lock", "-m", "made/Other", "--skip-main", "-o", str(other)).returncode == 0
        mended = pair.run("repair", "--dir", str(out), "--progress", "none", ACESTEP_FETCH_LOCK=str(other))
        assert mended.returncode == 0, mended.stderr
        assert tree_digests(out / "Repo") == truth


async def test_from_python_inside_a_running_loop(tmp_path: Path) -> None:
    with two(tmp_path) as pair:
        options = Options(
            models=(REPO,),
            skip_main=True,
            directory=tmp_path / "out",
            huggingface_endpoint=pair.hf.url,
            modelscope_endpoint=pair.ms.url,
        )
        made = await api.lock_async(tmp_path / "a.lock", options)
        assert made == lock_of(tmp_path / "a.lock")
        assert await asyncio.to_thread(api.lock, tmp_path / "b.lock", options) == made
        move_on(tmp_path, NEWER)
        with pytest.raises(LockedError, match="left as it is"):
            await api.lock_async(tmp_path / "a.lock", options)
        assert lock_of(tmp_path / "a.lock") == made
        assert await api.lock_async(tmp_path / "a.lock", options, update=True) != made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "no lock"),
        ("[]", "no lock"),
        ('{"version": 9, "models": {}}', "version 9"),
        ('{"version": 1, "models": {"../x": {}}}', "no lock"),
        (
            '{"version": 1, "models": {"a": {"repo": "o/a", "folder": "a", "commits": {}, "components": ["a"], '
            '"files": {"a/../../x": {"size": 1, "git_sha1": "' + "a" * 40 + '"}}}}}',
            "no plain path",
        ),
    ],
)
def test_what_is_no_lock_ends_with_2(text: str | None, said: str, tmp_path: Path) -> None:
    lock = tmp_path / "the.lock"
    if text is not None:
        lock.write_text(text)
    with hubs(tmp_path) as pair:
        for command in ([], ["sums"]):
            ended = pair.run(*command, "--lock", str(lock), "--dir", str(tmp_path / "out"))
            assert ended.returncode == 2, ended.stderr
            assert said in ended.stderr
            assert "Traceback" not in ended.stderr


def test_the_sums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("coreutils' sha256sum is not installed")
    lock, out = tmp_path / "the.lock", tmp_path / "out"
    with two(tmp_path) as pair:
        assert written(pair, lock).returncode == 0
        assert fetched(pair, out, "--lock", str(lock)).returncode == 0
        sums = [pair.run("sums", "--dir", str(out)).stdout, pair.run("sums", "Repo", "--lock", str(lock)).stdout]
        assert sums[0] == sums[1]
        missing = pair.run("sums", "main", "--lock", str(lock))
        assert missing.returncode == 3
    checked = subprocess.run(
        [program, "-c", "--strict"], input=sums[0], cwd=out, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK\n") == len(FILES)


def test_a_poor_terminal_gets_names_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "the.lock"
    with two(tmp_path, {"模型.txt": 30}) as pair:
        assert written(pair, path).returncode == 0
        for command in (["sums", "--lock", str(path)], ["bundle", "needs", "--lock", str(path), "-d", str(tmp_path)]):
            process = subprocess.run(
                [sys.executable, "-m", "acestep_fetch", *command],
                env=pair.environment(PYTHONIOENCODING="ascii", LC_ALL="C"),
                capture_output=True,
                check=False,
            )
            assert process.returncode == 0, process.stderr
            assert "Repo/模型.txt".encode() in process.stdout
        move_on(tmp_path, {"模型.txt": 40})
        shown = pair.run("lock", "-o", str(path), "--update", "--diff", PYTHONIOENCODING="ascii:strict", LC_ALL="C")
        assert shown.returncode == 0, shown.stderr


def test_names_with_odd_characters_are_escaped_as_coreutils_does(tmp_path: Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("coreutils' sha256sum is not installed")
    names = ["plain", "a b", "back\\slash", "new\nline", "both\\\n", "模"]
    for name in names:
        (tmp_path / name).write_text(name)
    theirs = subprocess.run([program, *names], cwd=tmp_path, text=True, capture_output=True, check=True).stdout
    digests = [line.lstrip("\\")[:64] for line in theirs.splitlines()]
    assert [sum_line(digest, name) for digest, name in zip(digests, names, strict=True)] == theirs.splitlines()
