"""The examples of docs/errors.md are what the program prints: rendered again from real runs, where that is cheap."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import acestep_fetch
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from tests.end_to_end.conftest import Hubs, hubs
from tests.reference import table_below
from tests.support.trees import make_repo

PAGE = Path(acestep_fetch.__file__).parents[1] / "docs" / "errors.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the pages are not part of a wheel")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, "made/Repo", {"config.json": 300})
    with hubs(root) as served:
        yield served


def shown(code: int) -> list[str]:
    """The examples of an exit code."""
    rows = [line.split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {code} |")]
    return [row[2].strip("`") for row in rows]


def test_every_code_has_a_row() -> None:
    for codes, *_ in table_below("Exit codes"):  # the README's
        assert all(shown(int(code)) for code in codes.split(", "))


def test_a_wrong_name(both: Hubs) -> None:
    ended = both.run("--model", "acestep-v15-bse")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0].removeprefix("acestep-fetch: ") in shown(2)
    assert "→ did you mean acestep-v15-base?" in ended.stderr


def test_what_is_announced_and_not_published(both: Hubs, tmp_path: Path) -> None:
    ended = both.run("--model", "acestep-v15-small", "--skip-main", "--dir", str(tmp_path / "out"))
    assert ended.returncode == 3
    assert "ACE-Step/acestep-v15-small: announced, but not on any hub yet" in ended.stderr
    assert "→ take another model until it is published" in ended.stderr


def test_a_revision_that_no_hub_has(both: Hubs, tmp_path: Path) -> None:
    ended = both.run("--model", "made/Repo", "--skip-main", "--revision", "nosuch", "--dir", str(tmp_path / "out"))
    assert ended.returncode == 3
    assert "made/Repo: no hub has this revision" in ended.stderr
    assert "→ leave out --revision for the newest version" in ended.stderr
    assert "its branches and tags are: master" in ended.stderr


def test_what_no_hub_has(both: Hubs, tmp_path: Path) -> None:
    ended = both.run("--model", "ACE-Step/nothing", "--skip-main", "--dir", str(tmp_path / "out"))
    assert ended.returncode == 3
    assert any(line.endswith(f"✗ {example}") for line in ended.stderr.splitlines() for example in shown(3))
    assert "tried: Hugging Face: " in ended.stderr
    assert "tried: ModelScope: " in ended.stderr


def test_no_hub_there(both: Hubs, tmp_path: Path) -> None:
    dead = []
    for _ in range(2):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            dead.append(f"http://127.0.0.1:{sock.getsockname()[1]}")
    ended = both.run(
        *("--model", "made/Repo", "--skip-main", "--dir", str(tmp_path / "out")),
        HF_ENDPOINT=dead[0],
        MODELSCOPE_ENDPOINT=dead[1],
    )
    assert ended.returncode == 5
    assert any(line.endswith(f"✗ {example}") for line in ended.stderr.splitlines() for example in shown(5))
    assert "→ check the connection (`acestep-fetch doctor` does); a proxy goes into HTTPS_PROXY" in ended.stderr


def test_a_disk_that_refuses(both: Hubs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = both.run("--model", "made/Repo", "--skip-main", "--dir", str(tmp_path / "file" / "checkpoints"))
    assert ended.returncode == 8
    (example,) = shown(8)
    shape = example.replace("/m/checkpoints", str(tmp_path / "file" / "checkpoints"))
    assert shape.replace("Permission denied", "Not a directory") in ended.stderr
    assert "→ something else stands in its place: move it away and run the same command" in ended.stderr


def test_a_folder_that_is_taken(both: Hubs, tmp_path: Path) -> None:
    lease = Lease.take(Layout(tmp_path).lease)
    assert isinstance(lease, Lease)
    try:
        ended = both.run(*("--model", "made/Repo", "--skip-main", "--dir", str(tmp_path)), ACESTEP_FETCH_LEASE_WAIT="0")
    finally:
        lease.release()
    assert ended.returncode == 9
    (example,) = shown(9)
    assert example.replace("4711 on box", f"{os.getpid()} on {socket.gethostname()}") in ended.stderr


def test_what_is_only_looked_at(both: Hubs, tmp_path: Path) -> None:
    (tmp_path / "acestep-v15-sft").mkdir()
    ended = both.run("doctor", "--offline", "--dir", str(tmp_path))
    assert ended.returncode == 11
    assert ended.stderr.splitlines()[0].removeprefix("acestep-fetch: ") in shown(11)
