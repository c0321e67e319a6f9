"""Nothing of the machine leaks into a test: no token, no endpoint, no proxy, no certificates, no home. Nor does one
test's token."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from acestep_fetch.core import secrecy

_LEAKS = ("HF_", "HUGGING", "MODELSCOPE_", "ACESTEP_", "XDG_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_")


def pytest_configure() -> None:
    """A shell has SIGINT ignored by what it runs in the background, and nohup SIGHUP; programs inherit that, and ours
    would rightly go on ignoring it."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(_LEAKS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(secrecy, "_remembered", {})
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("MODELSCOPE_CACHE", str(home / "modelscope"))


@pytest.fixture(scope="session")
def shared_trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for repositories that many tests read and none changes."""
    return tmp_path_factory.mktemp("trees")
