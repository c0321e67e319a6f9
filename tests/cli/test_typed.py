"""Commands that messages tell to type work as they are written, from another folder too."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch.catalogue.asking import asked_as, command, to_fetch
from acestep_fetch.core.model import HubName
from tests.cli.conftest import Run
from tests.cli.test_upkeep import flip
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_catalogue, make_repo, tree_digests

REPO = "made/Repo"
FILES = {"large.bin": 3 << 20, "vocab.txt": 60_000, "config.json": 300}
ONE = ("--model", REPO, "--skip-main")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, REPO, FILES)
    make_catalogue(root, scale=0.001, models=["acestep-v15-sft"], hub=HubName.HUGGINGFACE)
    with hubs(root) as served:
        yield served


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder whose name has to be quoted."""
    return tmp_path / "my models' folder"


def typed(both: Hubs, text: str, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """Runs the last command that `text` has, up to a remark about it, in the root folder."""
    monkeypatch.chdir("/")
    return both.run(*shlex.split(re.findall(r"acestep-fetch( [^;`(\n]+)", text)[-1]))


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([("main", "ACE-Step/Ace-Step1.5")], "acestep-fetch"),
        ([("main", "ACE-Step/Ace-Step1.5"), ("Repo", REPO)], f"acestep-fetch --model {REPO}"),
        ([("Repo", REPO)], f"acestep-fetch --model {REPO} --skip-main"),
        ([("acestep-v15-sft", "ACE-Step/acestep-v15-sft")], "acestep-fetch --model acestep-v15-sft --skip-main"),
        ([("acestep-v15-sft", "own/acestep-v15-sft")], "acestep-fetch --model own/acestep-v15-sft --skip-main"),
    ],
)
def test_a_model_is_named_so_that_it_is_found_and_comes_alone(models: list[tuple[str, str]], said: str) -> None:
    assert to_fetch(models, None) == said
    assert to_fetch(models, "/a b") == f"{said} --dir '/a b'"


def test_names_and_folders_are_quoted() -> None:
    assert command("verify", "/x", ["a b", "main"]) == "acestep-fetch verify 'a b' main --dir /x"
    assert asked_as("scragvae", "someone/else") == "someone/else"


def test_adopt_says_what_fetches_the_rest(
    both: Hubs, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = both.hf.hub.setup.root / REPO
    (tmp_path / "old").mkdir()
    shutil.copy(there / "vocab.txt", tmp_path / "old" / "words")
    ended = both.run("adopt", str(tmp_path / "old"), *ONE, "--dir", str(out), "--exclude", "*.json")
    assert ended.returncode == 0, ended.stderr
    assert f"--model {REPO} --skip-main --exclude '*.json' --dir " in ended.stdout
    rest = typed(both, ended.stdout, monkeypatch)
    assert rest.returncode == 0, rest.stderr
    assert sorted(tree_digests(out / "Repo")) == ["large.bin", "vocab.txt"]


def test_verify_says_what_mends(both: Hubs, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both.run(*ONE, "--dir", str(out)).returncode == 0
    flip(out / "Repo" / "vocab.txt", 9)
    (out / "Repo" / "config.json").unlink()
    fast = both.run("verify", "--fast", "--dir", str(out))
    certain = typed(both, fast.stderr, monkeypatch)
    assert (fast.returncode, certain.returncode) == (11, 11)
    assert "2 at fault" in certain.stdout
    mended = typed(both, certain.stderr, monkeypatch)
    assert mended.returncode == 0, mended.stderr
    assert tree_digests(out / "Repo") == tree_digests(both.hf.hub.setup.root / REPO)


def test_what_was_never_completed_is_fetched_by_what_verify_says(both: Hubs, out: Path) -> None:
    assert both.run(*ONE, "--dir", str(out)).returncode == 0
    ended = both.run("verify", "sft", "--dir", str(out))
    assert ended.returncode == 11
    assert f"`acestep-fetch --model acestep-v15-sft --dir {shlex.quote(str(out))}`" in ended.stderr
    empty = both.run("repair", "--dir", str(out.parent))
    assert empty.stderr.endswith(f"fetch the main model into it: acestep-fetch --dir {out.parent}\n")


def test_wait_says_what_fetches_it(both: Hubs, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = both.run("wait", REPO, "sft", "--timeout", "0", "--dir", str(out))
    assert ended.returncode == 11
    fetched = typed(both, ended.stderr, monkeypatch)
    assert fetched.returncode == 0, fetched.stderr
    assert sorted(path.name for path in out.iterdir()) == [".acestep-fetch", "Repo", "acestep-v15-sft"]


def test_status_says_what_looks(both: Hubs, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both.run(*ONE, "--dir", str(out)).returncode == 0
    (out / "Repo" / "config.json").unlink()
    ended = both.run("status", "--dir", str(out))
    assert ended.returncode == 11
    assert "1 at fault" in typed(both, ended.stderr, monkeypatch).stdout


def test_what_stands_behind_the_arrows_of_doctor_works(both: Hubs, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both.run(*ONE, "--dir", str(out)).returncode == 0
    (out / "Repo" / "config.json").unlink()
    (out / "acestep-v15-sft").mkdir()
    (out / ".acestep-fetch" / "parts" / f"{'a' * 64}.journal").write_bytes(b"")
    ended = both.run("doctor", "--offline", "--dir", str(out))
    assert ended.returncode == 11
    arrows = {line.split()[1]: line for line in ended.stdout.splitlines() if "-> acestep-fetch" in line}
    assert arrows.keys() == {"Repo", "acestep-v15-sft", "main", "our"}
    assert f"acestep-fetch --model acestep-v15-sft --dir {shlex.quote(str(out))}" in arrows["acestep-v15-sft"]
    for what in ("Repo", "our"):
        done = typed(both, arrows[what], monkeypatch)
        assert done.returncode == 0, done.stderr + done.stdout
    assert (out / "Repo" / "config.json").is_file()
    assert not list((out / ".acestep-fetch" / "parts").glob("*.journal"))


@pytest.mark.parametrize("arguments", [["list"], ["--list"]])
def test_a_list_says_how_to_fetch_into_its_folder(arguments: list[str], run: Run, here: Path) -> None:
    assert run(*arguments).out.endswith("\nfetch one with: acestep-fetch --model NAME\n")
    said = run(*arguments, "-d", "my models").out
    assert said.endswith(f"\nfetch one with: acestep-fetch --model NAME --dir '{here / 'my models'}'\n")


def test_a_folder_that_no_flag_names_is_not_named(run: Run, here: Path) -> None:
    assert "fetch what does not hold with" not in run("doctor", "--offline").out
    assert run("doctor", "--offline").out.count("-> acestep-fetch\n") == 1
    assert f"-> acestep-fetch --dir {here}\n" in run("doctor", "--offline", "--dir", ".").out
