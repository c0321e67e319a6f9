"""Who is asked, by the word of flags, variables and files: recorded in the process itself, at the sockets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.hub import ThreadedHub
from tests.support.trees import make_repo, tree_digests

REPO = "made/Repo"
FILES = {"model.safetensors": 3 << 20, "config.json": 300, "vocab.txt": 60_000}
WHAT = ("--skip-main", "--model", REPO)
RECORD = """
import json, os, sys

def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        where = args[1] if event == "socket.connect" else args[:2]
        with open({log!r}, "a") as log:
            log.write(json.dumps([event, *map(str, where[:2])]) + chr(10))

sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def root(shared_trees: Path) -> Path:
    make_repo(shared_trees / "where", REPO, FILES)
    return shared_trees / "where"


def fetched(pair: Hubs, folder: Path, *arguments: str, **more: str) -> tuple[int, str, str, set[str]]:
    """Code, output and errors of a run, and to which ports of this machine it connected; nobody else was looked up."""
    log = folder.with_suffix(".log")
    process = pair.start(
        *WHAT, "--dir", str(folder), "--progress", "json", *arguments, patch=RECORD.format(log=str(log)), **more
    )
    out, err = process.communicate(timeout=110)
    calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert {host for _, host, _ in calls} <= {"127.0.0.1", "localhost"}
    return process.returncode, out, err, {port for event, _, port in calls if event == "socket.connect"}


def port_of(hub: ThreadedHub) -> str:
    return hub.url.rpartition(":")[2]


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
def test_only_source_asks_nobody_else(name: str, root: Path, tmp_path: Path) -> None:
    """Not even Google: there is nothing to choose."""
    with hubs(root) as pair:
        wanted, other = (pair.hf, pair.ms) if name == "huggingface" else (pair.ms, pair.hf)
        code, out, err, ports = fetched(
            pair, tmp_path / "out", "--only-source", name, ACESTEP_FETCH_PROBE_URL=f"{other.url}/generate_204"
        )
        assert code == 0, err
        assert ports == {port_of(wanted)}
        assert other.recorder.entries == []
    assert tree_digests(tmp_path / "out" / "Repo") == tree_digests(root / REPO)
    chosen = next(event for event in events(out) if event["event"] == "sources")
    assert chosen["order"] == [name]


def test_only_source_ends_where_that_one_has_nothing(root: Path, tmp_path: Path) -> None:
    make_repo(tmp_path / "empty", "some/other", {"a.txt": 1})
    with hubs(tmp_path / "empty", root) as pair:
        code, out, err, ports = fetched(pair, tmp_path / "out", "--only-source", "huggingface")
        assert (code, ports) == (3, {port_of(pair.hf)})
    assert "no hub has it" in out + err


def test_a_mirror_is_asked_and_nobody_whom_the_run_did_not_name(root: Path, tmp_path: Path) -> None:
    """The promise of --hf-endpoint: huggingface.co is not even looked up."""
    with hubs(root) as pair:
        code, _, err, ports = fetched(
            pair,
            tmp_path / "out",
            "--hf-endpoint",
            pair.hf.url,
            HF_ENDPOINT="https://huggingface.co",
            ACESTEP_FETCH_PROBE_URL=f"{pair.ms.url}/generate_204",
        )
        assert code == 0, err
        assert {port_of(pair.hf)} <= ports <= {port_of(pair.hf), port_of(pair.ms)}
        assert pair.hf.recorder.entries
    assert tree_digests(tmp_path / "out" / "Repo") == tree_digests(root / REPO)


def test_a_mirror_alone_is_the_only_one_asked(root: Path, tmp_path: Path) -> None:
    with hubs(root) as pair:
        endpoint = ("--hf-endpoint", pair.hf.url, "--only-source", "huggingface")
        code, _, err, ports = fetched(pair, tmp_path / "out", *endpoint, HF_ENDPOINT="https://huggingface.co")
        assert (code, ports) == (0, {port_of(pair.hf)}), err


def test_a_folders_file_sends_no_token_elsewhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a folder's files say of endpoints: the run ends before its first connection."""
    monkeypatch.chdir(tmp_path)
    with hubs(root) as pair, ThreadedHub(root) as evil:
        for file, text in (
            ("acestep-fetch.toml", f'hf-endpoint = "{evil.url}"'),
            ("pyproject.toml", f'[tool.acestep-fetch]\nms-endpoint = "{evil.url}"'),
            (".env", f"ACESTEP_FETCH_PROXY={evil.url}"),
        ):
            (tmp_path / file).write_text(text)
            code, out, err, ports = fetched(pair, tmp_path / "out", HF_TOKEN="hf_worthALot123")
            assert (code, ports) == (2, set()), file
            assert "cannot set this" in out + err
            (tmp_path / file).unlink()
        (tmp_path / ".env").write_text(f"HF_ENDPOINT={evil.url}\nMODELSCOPE_ENDPOINT={evil.url}\nHTTP_PROXY={evil.url}")
        code, out, err, ports = fetched(pair, tmp_path / "out", HF_TOKEN="hf_worthALot123")
        assert code == 0, err
        assert port_of(evil) not in ports
        assert evil.recorder.entries == []


def test_a_users_file_may_name_a_mirror_and_a_folders_file_the_model(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with hubs(root) as pair:
        user = tmp_path / "xdg" / "acestep-fetch" / "config.toml"
        user.parent.mkdir(parents=True)
        user.write_text(f'hf-endpoint = "{pair.hf.url}"\nonly-source = "huggingface"\nmodel = "acestep-v15-sft"\n')
        (tmp_path / "acestep-fetch.toml").write_text(
            f'model = ["{REPO}"]\nskip-main = true\ndir = "out"\nprogress = "none"\n'
        )
        process = pair.start(XDG_CONFIG_HOME=str(tmp_path / "xdg"), HF_ENDPOINT="")
        _, err = process.communicate(timeout=110)
        assert (process.returncode, err) == (0, "")
        assert pair.ms.recorder.entries == []
    assert tree_digests(tmp_path / "out" / "Repo") == tree_digests(root / REPO)


def test_what_is_to_stay_free_is_looked_at_before_the_first_byte(root: Path, tmp_path: Path) -> None:
    with hubs(root) as pair:
        code, out, err, _ = fetched(pair, tmp_path / "out", "--min-free", "900TB")
        assert (code, pair.sent) == (7, 0)
        assert "to stay free" in out + err
        assert not (tmp_path / "out" / "Repo").exists()
        code, out, err, _ = fetched(pair, tmp_path / "out", "--min-free", "1MB")
        assert code == 0, err


@pytest.mark.parametrize("how", [("--no-wait",), ("--wait", "0.5s")])
def test_a_wait_for_another_process_has_the_end_that_is_given(how: tuple[str, ...], root: Path, tmp_path: Path) -> None:
    held = Lease.take(Layout(tmp_path / "out").lease)
    assert isinstance(held, Lease)
    try:
        with hubs(root) as pair:
            code, out, err, ports = fetched(pair, tmp_path / "out", *how)
    finally:
        held.release()
    assert (code, ports) == (9, set())
    assert "is downloading into this folder" in out + err


@pytest.mark.parametrize("colour", [("--color", "always"), ()])
def test_without_a_terminal_there_is_no_escape_byte_whatever_is_forced(
    colour: tuple[str, ...], root: Path, tmp_path: Path
) -> None:
    with hubs(root) as pair:
        ran = pair.run(*WHAT, "--dir", str(tmp_path / "out"), "-v", *colour, FORCE_COLOR="1", CLICOLOR_FORCE="1")
    assert ran.returncode == 0, ran.stderr
    assert not set("\x1b\r") & set(ran.stdout + ran.stderr)


def test_the_interval_of_plain_lines_is_the_one_that_is_given(root: Path, tmp_path: Path) -> None:
    held = Lease.take(Layout(tmp_path / "out").lease)
    assert isinstance(held, Lease)
    waits = ("--dir", str(tmp_path / "out"), "--wait", "2s")
    try:
        with hubs(root) as pair:
            often = pair.run(*WHAT, *waits, "--progress-interval", "0.3s")
            seldom = pair.run(*WHAT, *waits, ACESTEP_FETCH_PROGRESS_INTERVAL="1h")
    finally:
        held.release()
    assert often.stderr.count("waiting:") >= seldom.stderr.count("waiting:") + 3, often.stderr
