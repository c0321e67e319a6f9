"""``acestep-fetch doctor`` as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch.doctor.findings import fail
from acestep_fetch.doctor.machine import PACKAGES, of_certificates, of_proxies, of_python
from acestep_fetch.doctor.report import report
from tests.cli.test_program import HEAVY, WATCHED
from tests.doctor.conftest import Build, sft
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_repo


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("hubs")
    make_repo(root, "ACE-Step/Ace-Step1.5", {"config.json": 300})
    make_repo(root, "made/Repo", {"large.bin": 9 << 20, "config.json": 300})
    with hubs(root) as served:
        yield served


def test_a_healthy_machine_ends_with_0(both: Hubs, build: Build) -> None:
    ended = both.run("doctor", "--dir", str(build(sft())))
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["python", "proxy", "certificates"]
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    assert "Hugging Face would come first" in ended.stdout
    assert "\r" not in ended.stdout
    assert "\x1b" not in ended.stdout


def test_what_fails_ends_with_11_and_says_what_to_do(both: Hubs, build: Build) -> None:
    root = build({"acestep-v15-sft/": b""})
    ended = both.run("doctor", "--offline", "--dir", str(root))
    assert ended.returncode == 11
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("FAIL")]
    assert "would take it for installed" in line
    assert line.endswith(f"-> acestep-fetch --model acestep-v15-sft --dir {root}")
    assert ended.stderr.startswith("acestep-fetch: 1 check failed: acestep-v15-sft\n  → ")


@pytest.mark.parametrize("name", ["", "parts", "staging"])
def test_a_link_in_the_place_of_a_folder_of_ours_fails_and_is_not_fixed(
    name: str, both: Hubs, build: Build, tmp_path: Path
) -> None:
    """What lies behind it is left alone, and so is never said to be mended by --fix."""
    root, behind = build({}), tmp_path / "behind"
    behind.mkdir()
    (behind / f"{'a' * 64}.journal").write_bytes(b"")
    link = root / ".acestep-fetch" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(behind)
    for more in ([], ["--fix"]):
        ended = both.run("doctor", "--offline", "--dir", str(root), *more)
        assert ended.returncode == 11
        (line,) = [line for line in ended.stdout.splitlines() if line.startswith("FAIL")]
        assert f"{link}: a link stands where something of ours belongs" in line
        assert line.endswith(f"rm {link}")
        assert "--fix" not in ended.stdout
    assert list(behind.glob("*.journal"))
    run = ("--model", "made/Repo", "--skip-main", "--dir", str(root))
    assert both.run(*run).returncode == 8
    link.unlink()
    assert both.run(*run).returncode == 0


def test_fix_names_what_it_takes_away(both: Hubs, build: Build) -> None:
    root = build({"acestep-v15-sft/": b""})
    ended = both.run("doctor", "--offline", "--fix", "--dir", str(root))
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.startswith("fix   removing acestep-v15-sft  (empty, and ACE-Step takes it for installed)\n")
    assert not (root / "acestep-v15-sft").exists()


def test_json_is_one_document(both: Hubs, build: Build) -> None:
    root = build({"acestep-v15-sft/": b"", "vae/": b""})
    ended = both.run("doctor", "--json", "--fix", "--dir", str(root))
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["v"], told["command"], told["ok"]) == (0, 1, "doctor", True)
    assert [each["path"] for each in told["fixed"]] == ["acestep-v15-sft", "vae"]
    assert {each["level"] for each in told["findings"]} <= {"ok", "warn", "fail"}
    assert told["folder"] == str(root)


@pytest.mark.parametrize("arguments", [["--offline"], ["--offline", "--json"], ["--offline", "--fix"], ["--help"]])
def test_offline_it_opens_no_socket_and_imports_nothing_heavy(arguments: list[str], build: Build) -> None:
    _looks_without_a_socket(arguments, build)


def test_the_hubs_own_word_for_offline_counts(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _looks_without_a_socket([], build)


def _looks_without_a_socket(arguments: list[str], build: Build) -> None:
    command = [sys.executable, "-c", WATCHED, "doctor", "--dir", str(build(sft())), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["code"] == 0, ended.stdout
    assert set(HEAVY).isdisjoint(told["modules"])


def test_the_report_holds_no_secret_and_no_home(both: Hubs, build: Build, tmp_path: Path) -> None:
    home, file = tmp_path / "home-of-anna", tmp_path / "report.txt"
    root = home / "checkpoints"
    root.mkdir(parents=True)
    build(sft()).rename(root / "inner")
    ended = both.run(
        "doctor",
        *("--offline", "--dir", str(root), "--report", str(file)),
        HOME=str(home),
        HF_TOKEN="hf_tokentokentoken",
        MODELSCOPE_API_TOKEN="11111111-2222-3333",
        HTTPS_PROXY="http://anna:s3cret-pw@proxy.example:3128",
    )
    assert ended.returncode == 0, ended.stderr
    text = file.read_text("utf-8")
    for secret in ("tokentoken", "11111111-2222", "s3cret", str(home)):
        assert secret not in text
        assert secret not in ended.stdout or secret == str(home)
    assert "HF_TOKEN is set" in text
    assert "~/checkpoints" in text
    assert "HTTPS_PROXY=http://***@proxy.example:3128" in text
    assert "inner/acestep-v15-sft/model.safetensors" in text


def test_a_report_knows_tokens_wherever_they_are_quoted(tmp_path: Path) -> None:
    text = report(
        [fail("x", "the server said: ms-0123456789 is wrong")],
        tmp_path,
        environ={"MODELSCOPE_API_TOKEN": "ms-0123456789"},
    )
    assert "0123456789" not in text


def test_a_report_that_cannot_be_written_is_an_error_of_the_disk(both: Hubs, build: Build, tmp_path: Path) -> None:
    ended = both.run("doctor", "--offline", "--dir", str(build({})), "--report", str(tmp_path / "no" / "where"))
    assert ended.returncode == 8
    assert "No such file" in ended.stderr


def test_proxies_and_certificates_that_cannot_be_used_fail(both: Hubs, build: Build, tmp_path: Path) -> None:
    root = str(build({}))
    ended = both.run("doctor", "--dir", root, HTTPS_PROXY="socks9://anna:s3cret-pw@p")
    assert ended.returncode == 11
    assert "HTTPS_PROXY: the proxy that is named cannot be used" in ended.stdout
    assert "s3cret" not in ended.stdout + ended.stderr
    ended = both.run("doctor", "--dir", root, "--ca-bundle", str(tmp_path / "none.pem"))
    assert ended.returncode == 11
    assert "none.pem: No such file" in ended.stdout


def test_what_get_is_told_by_flag_can_be_looked_at(both: Hubs, build: Build) -> None:
    root = str(build(sft()))
    ended = both.run("doctor", "--dir", root, "--only-source", "modelscope", "--hf-endpoint", "http://a.invalid")
    assert ended.returncode == 0, ended.stdout
    assert "only ModelScope is asked" in ended.stdout
    assert not {"Hugging", "Google"} & {line.split()[1] for line in ended.stdout.splitlines()}
    ended = both.run("doctor", "--dir", root, "--only-source", "huggingface", "--hf-endpoint", "http://127.0.0.1:1")
    assert ended.returncode == 11
    assert "only Hugging Face is asked, and it cannot be used" in ended.stdout


def test_the_proxy_of_a_flag_is_the_one_that_is_tried(both: Hubs, build: Build) -> None:
    proxy = (
        "--proxy",
        "http://anna:s3cret-pw@127.0.0.1:1",
        "--no-proxy",
        "inside.example",
        "--token",
        "hf_secretsecret",
    )
    ended = both.run("doctor", "--dir", str(build(sft())), "--hf-endpoint", "http://hub.example", *proxy)
    assert ended.returncode == 0, ended.stdout
    assert "--proxy http://127.0.0.1:1 with a login; not for --no-proxy inside.example" in ended.stdout
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("warn  Hugging Face")]
    assert "the proxy 127.0.0.1:1 cannot be reached" in line
    assert "secret" not in ended.stdout + ended.stderr


def test_a_package_that_is_not_there_is_named() -> None:
    there = dict.fromkeys(PACKAGES, "1.0")
    assert of_python(there, (3, 11, 7)).level == "ok"
    found = of_python({**there, "aiohttp": None}, (3, 11, 7))
    assert found.level == "FAIL"
    assert found.todo.endswith("-m pip install aiohttp")
    assert of_python(there, (3, 10, 1)).level == "FAIL"


def test_a_variable_that_counts_for_nothing_is_told() -> None:
    (found,) = of_certificates({"SSL_CERT_FILE": "/a"}, ["REQUESTS_CA_BUNDLE"])
    assert found.level == "warn"
    assert "only those in /a (SSL_CERT_FILE) are believed; REQUESTS_CA_BUNDLE counts for nothing" in found.detail
    (found,) = of_certificates({}, [])
    assert found.level == "ok"


def test_proxies_as_they_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "asked directly" in of_proxies()[0].detail
    monkeypatch.setenv("HTTPS_PROXY", "anna:s3cret-pw@p:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    (found,) = of_proxies()
    assert found.detail == "HTTPS_PROXY http://p:3128 with a login; not for NO_PROXY inside.example"


def test_it_needs_no_working_hub_to_end_soon(build: Build) -> None:
    """Names that nobody knows: the total is bounded by the patience, and the verdict is clear."""
    environment = {**os.environ, "HF_ENDPOINT": "http://a.invalid", "MODELSCOPE_ENDPOINT": "http://b.invalid"}
    environment["ACESTEP_FETCH_PROBE_URL"] = "http://c.invalid/"
    ended = subprocess.run(
        [sys.executable, "-m", "acestep_fetch", "doctor", "--dir", str(build({}))],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 11
    assert "neither hub can be used" in ended.stdout
