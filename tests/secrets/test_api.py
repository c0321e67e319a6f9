"""The Python API: nothing that it hands out, says or logs shows a secret, and others keep their logs."""

from __future__ import annotations

import logging
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import httpx
import pytest

import acestep_fetch
from acestep_fetch.api import fetch_async
from acestep_fetch.core.interfaces import ApiReply, Request
from acestep_fetch.core.model import HubName
from acestep_fetch.core.secrecy import Secret
from acestep_fetch.hubs.account import Login
from acestep_fetch.options import Options
from tests.secrets.actions import Echo, Hand, Reflect
from tests.secrets.marks import ADDRESS, HF, MARKS, MS, SIGNATURE, found_in
from tests.secrets.rows import ELSEWHERE, FILES, REPO
from tests.support.faults import Kind, Rule
from tests.support.hub import ServedHub, serving
from tests.support.trees import make_repo

TRUSTED = {
    "token",
    "modelscope_token",
    "huggingface_endpoint",
    "modelscope_endpoint",
    "probe_url",
    "url",
    "headers",
    "body",
}


def options(folder: Path, hub: ServedHub) -> Options:
    return Options(
        directory=folder,
        models=(REPO,),
        skip_main=True,
        token=HF.text,
        modelscope_token=MS.text,
        huggingface_endpoint=hub.url,
        modelscope_endpoint=hub.url,
        prefer=HubName.HUGGINGFACE,
        give_up_after=1.0,
        stall_timeout=0.4,
    )


@pytest.mark.parametrize("fails", [False, True], ids=["ends well", "fails"])
async def test_nothing_that_is_handed_out_or_logged(
    fails: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_repo(tmp_path / "hub", REPO, FILES)
    caplog.set_level(logging.DEBUG)
    told = list[str]()
    async with serving(tmp_path / "hub") as hub, serving(tmp_path / "hub") as cdn:
        target = ELSEWHERE.replace("<cdn@>", f"http://localhost:{cdn.port}")
        hub.faults.rules += [Rule(Reflect()), Rule(Hand(target), kind=Kind.RESOLVER)]
        if fails:
            cdn.faults.rules += [Rule(Echo(403), kind=Kind.CONTENT)]
        given = options(tmp_path / "out", hub)
        report = await fetch_async(given, lambda event: told.append(f"{event!r} {event}"))
        assert (report.exit_code != 0) is fails
        assert any(found_in(entry.url.encode(), (SIGNATURE,)) for entry in cdn.recorder.entries)
        signed = {e.url.rpartition("Signature=")[2].partition("&")[0] for e in cdn.recorder.of(Kind.CONTENT)}
    said = "\n".join([*told, f"{report!r} {report} {report.error!r} {given!r}", caplog.text])
    assert not found_in(said.encode())
    assert not any(text in said for text in signed)


async def test_who_else_uses_httpx_keeps_its_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_repo(tmp_path / "hub", REPO, FILES)
    caplog.set_level(logging.INFO)
    async with serving(tmp_path / "hub") as hub:
        await fetch_async(options(tmp_path / "out", hub))
        assert "httpx" not in {record.name for record in caplog.records}
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{hub.url}/somewhere")
    assert "/somewhere" in caplog.text


@pytest.mark.parametrize(
    "value",
    [
        Options(token=HF.text, modelscope_token=MS.text, huggingface_endpoint=f"http://me:{ADDRESS.text}@h"),
        Options(probe_url=f"http://h/?key={ADDRESS.text}"),
        Login(HF.text),
        Request(f"http://h/a?Signature={SIGNATURE.text}", {"Authorization": Secret(f"Bearer {HF.text}")}),
        ApiReply(200, {"set-cookie": HF.text}, MS.text.encode(), f"http://h/?Signature={SIGNATURE.text}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_a_secret_does_not_show_it(value: object) -> None:
    assert not found_in(f"{value!r} {value}".encode())


def test_no_other_dataclass_has_a_place_for_a_secret() -> None:
    """Whoever adds a field of such a name has to say here how it is kept from being shown."""
    found = {(kind.__name__, field.name) for kind in _dataclasses() for field in fields(kind) if field.name in TRUSTED}
    assert found == {
        ("ApiReply", "body"),
        ("ApiReply", "headers"),
        ("ApiReply", "url"),
        ("Login", "token"),
        ("Opened", "body"),  # an object that shows nothing of itself
        ("Options", "huggingface_endpoint"),
        ("Options", "modelscope_endpoint"),
        ("Options", "modelscope_token"),
        ("Options", "probe_url"),
        ("Options", "token"),
        ("Request", "headers"),
        ("Request", "url"),
    }


def _dataclasses() -> set[type[Any]]:
    names = [found.name for found in walk_packages(acestep_fetch.__path__, "acestep_fetch.")]
    modules = [import_module(name) for name in names if not name.endswith("__main__")]
    found = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return {kind for kind in found if is_dataclass(kind) and kind.__module__.startswith("acestep_fetch")}


def test_the_search_finds_every_spelling() -> None:
    from base64 import b64encode
    from urllib.parse import quote

    for mark in MARKS:
        for text in (mark.text, quote(mark.text), b64encode(f"me:{mark.text}".encode()).decode()):
            assert mark in found_in(f"x {text} y".encode()), (mark, text)
    assert not found_in(b"nothing of the kind " * 50)
