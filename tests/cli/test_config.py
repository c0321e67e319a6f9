"""`config`: what is set, and where; nobody's secret, no socket, and soon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acestep_fetch.configuration.settings import BY_KEY, SETTINGS
from tests.cli.conftest import Run
from tests.cli.test_main import _no_socket

SECRET = "s3cr3t-s3cr3t-s3cr3t"


def lines(output: str) -> dict[str, str]:
    return {line.split()[0]: " ".join(line.split()[1:]) for line in output.splitlines()}


def test_every_setting_is_shown_with_its_default(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", _no_socket)
    ended = run("config", "show")
    assert (ended.code, ended.err) == (0, "")
    shown = lines(ended.out)
    assert list(shown) == list(BY_KEY)
    assert (shown["dir"], shown["connections"], shown["timeout"], shown["quiet"]) == (
        "./checkpoints",
        "32",
        "120",
        "no",
    )
    assert run("config").out == ended.out


def test_the_origin_is_a_variable_a_line_or_nobody(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("ACESTEP_CHECKPOINTS_DIR=models\n")
    (here / "acestep-fetch.toml").write_text('\nlimit-rate = "80MB/s"\nmodel = ["main", "acestep-v15-sft"]\n')
    monkeypatch.setenv("ACESTEP_FETCH_JOBS", "3")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = lines(run("config", "show", "--origin").out)
    assert shown["dir"] == f"{here / 'models'} .env:1: ACESTEP_CHECKPOINTS_DIR"
    assert shown["limit-rate"] == "80MB/s acestep-fetch.toml:2: limit-rate"
    assert shown["model"] == "main, acestep-v15-sft acestep-fetch.toml:3: model"
    assert shown["jobs"] == "3 ACESTEP_FETCH_JOBS"
    assert shown["color"] == "never NO_COLOR"
    assert shown["connections"] == "32 default"


def test_the_document_has_values_and_origins(run: Run, here: Path) -> None:
    (here / "acestep-fetch.toml").write_text('limit-rate = "80MB/s"\nonly-source = "modelscope"\nall = true\n')
    document = json.loads(run("config", "show", "--json").out)
    assert (document["v"], document["command"]) == (1, "config")
    found = {setting["key"]: setting for setting in document["settings"]}
    assert list(found) == [setting.key for setting in SETTINGS]
    place = {"kind": "project", "name": "limit-rate", "file": "acestep-fetch.toml", "line": 1}
    assert found["limit-rate"] == {"key": "limit-rate", "value": 80_000_000, "origin": place}
    assert (found["only-source"]["value"], found["all"]["value"]) == ("modelscope", True)
    assert (found["dir"]["value"], found["connections"]["value"], found["progress"]["value"]) == (None, 32, "auto")
    assert found["jobs"]["origin"] == {"kind": "default", "name": None, "file": None, "line": None}


@pytest.mark.parametrize("how", [(), ("--origin",), ("--json",)])
def test_no_secret_is_shown(run: Run, here: Path, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text(f"MODELSCOPE_API_TOKEN={SECRET}\n")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@proxy:3128")
    monkeypatch.setenv("HF_ENDPOINT", f"https://me:{SECRET}@mirror")
    ended = run("config", *how)
    assert ended.code == 0
    assert "s3cr3t" not in ended.out + ended.err
    if not how:
        shown = lines(ended.out)
        assert [shown[key] for key in ("token", "ms-token", "proxy")] == ["***"] * 3
        assert shown["hf-endpoint"] == "https://***@mirror"


def test_what_looks_meant_and_is_not_used_is_remarked(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("HF_ENDPOINT=https://mirror\n")
    monkeypatch.setenv("ACESTEP_FETCH_CONECTIONS", "3")
    ended = run("config", "show")
    assert ended.code == 0
    assert "not used: ACESTEP_FETCH_CONECTIONS" in ended.err
    assert "not used: .env:1: HF_ENDPOINT" in ended.err


def test_the_files_are_named_highest_first(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "xdg"))
    (here / ".env").write_text("")
    named = run("config", "path").out.splitlines()
    assert named[:2] == [str(here / ".env"), f"{here / 'acestep-fetch.toml'}  (not there)"]
    files = json.loads(run("config", "path", "--json").out)["files"]
    assert [file["kind"] for file in files][:4] == ["dotenv", "project", "project", "user"]
    assert [file["exists"] for file in files][:2] == [True, False]


def test_a_wrong_file_is_named_by_every_command(run: Run, here: Path) -> None:
    (here / "acestep-fetch.toml").write_text("conections = 3\n")
    for command in (["list"], ["--list"], ["verify", "--fast"], ["config", "show"], ["--dry-run"]):
        ended = run(*command)
        assert ended.code == 2, command
        assert ended.err.startswith("acestep-fetch: acestep-fetch.toml:1: there is no setting conections\n")
        assert "did you mean connections?" in ended.err


@pytest.mark.parametrize(
    ("key", "meant"),
    [("limit_rate", "limit-rate"), ("Directory", "dir"), ("max-workers", "jobs"), ("models", "model")],
)
def test_a_key_that_others_use_leads_to_ours(run: Run, here: Path, key: str, meant: str) -> None:
    (here / "acestep-fetch.toml").write_text(f"{key} = 'x'\n")
    assert run("list").err.endswith(f"there is no setting {key}\n  → did you mean {meant}?\n")
    (here / "acestep-fetch.toml").write_text("nothing-like-it = 'x'\n")
    assert "→ there are model, all, " in run("list").err


@pytest.mark.parametrize("content", ["conections = 3\n", "a = [\n", "progress = 'loud'\n"])
@pytest.mark.parametrize(
    "command", ["version", "version --json", "--version", "completion bash", "--help", "get --help", "config path"]
)
def test_a_wrong_file_does_not_stop_what_needs_none(run: Run, here: Path, command: str, content: str) -> None:
    (here / "acestep-fetch.toml").write_text(content)
    ended = run(*command.split())
    assert (ended.code, ended.err) == (0, "")


def test_it_is_quick_and_imports_little(here: Path) -> None:
    """Layers cost a few ms: a loaded machine is given ten times the 0.3 s in which a look has to be over."""
    (here / "acestep-fetch.toml").write_text("jobs = 3\n")
    code = (
        "import sys; from acestep_fetch.cli.main import main; main(['config', 'show']);"
        "heavy = {'httpx', 'aiohttp', 'huggingface_hub', 'modelscope', 'rich', 'asyncio'} & sys.modules.keys();"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert time.monotonic() - began < 3
    (here / "acestep-fetch.toml").unlink()
    code = (
        "import sys; from acestep_fetch.options import Options; Options.from_configuration();"
        "print('tomllib' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert ended.stdout == "False\n"


@pytest.mark.parametrize("which", ["hf-endpoint", "ms-endpoint"])
def test_a_wrong_endpoint_is_named_by_who_said_it(run: Run, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run("plan", f"--{which}", f"ftp://me:{SECRET}@x")
    assert ended.code == 2
    assert ended.err.startswith(f"acestep-fetch: --{which}: this is no address of a hub\n")
    assert SECRET not in ended.err
    ours = f"ACESTEP_FETCH_{which.upper().replace('-', '_')}"
    monkeypatch.setenv(ours, "https://x:port")
    assert run("plan").err.startswith(f"acestep-fetch: {ours}: this is no address of a hub\n")
