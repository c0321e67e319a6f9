"""Whose certificates are believed, by API and byte streams alike, and what is said where one is not."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from aiohttp import hdrs, web

from acestep_fetch.core.errors import NetworkError, UsageError
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options
from acestep_fetch.transport.trust import trust
from tests.plumbing.world import CONTENT_HOST, HF_HOST, MS_HOST, REPO, server_context, world
from tests.support.faults import Action, Rule
from tests.support.hub import serving
from tests.support.recorder import Kind, kind_of
from tests.support.relay import Relay

WAYS = ["--ca-bundle", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]


def hashed(folder: Path, ca: trustme.CA) -> Path:
    """A folder of certificates as OpenSSL looks them up."""
    folder.mkdir()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    asked = ["openssl", "x509", "-hash", "-noout", "-in", str(folder / "ca.pem")]
    name = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    (folder / "ca.pem").rename(folder / f"{name}.0")
    return folder


@pytest.mark.parametrize("way", [*WAYS, "--ca-bundle FOLDER"])
async def test_every_way_to_name_an_authority(
    way: str, ca: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way.endswith(("DIR", "FOLDER")):
        bundle = hashed(tmp_path / "folder", ca)
    settings = {"ca_bundle": bundle} if way.startswith("--") else {}
    if not settings:
        monkeypatch.setenv(way, str(bundle))
    async with world(tmp_path, tls=server_context(ca)) as run:
        report = await run.fetch(**settings)
        assert report.exit_code == 0, report.error
        assert run.is_whole()
        assert {Kind.API, Kind.RESOLVER, Kind.CONTENT} <= run.kinds()


def test_the_flag_has_a_twin_in_the_environment() -> None:
    assert Options.from_environment({"ACESTEP_FETCH_CA_BUNDLE": "/a.pem"}).ca_bundle == Path("/a.pem")
    assert Options.from_environment({"ACESTEP_FETCH_CA_BUNDLE": "/a.pem"}, ca_bundle=Path("/b")).ca_bundle == Path("/b")


@pytest.mark.parametrize("rank", range(len(WAYS)))
def test_the_first_in_order_is_believed_and_nobody_else(rank: int, tmp_path: Path) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR are of one rank."""
    bundles = dict[str, str]()
    for way in WAYS[rank:]:
        authority, path = trustme.CA(organization_name=f"of {way}"), tmp_path / way
        if way == "SSL_CERT_DIR":
            hashed(path, authority)
        else:
            authority.cert_pem.write_to_path(str(path))
        bundles[way] = str(path)
    given = bundles.pop("--ca-bundle", None)
    context = trust(Path(given) if given else None, bundles)
    believed = {dict(pair[0] for pair in each["subject"])["organizationName"] for each in context.get_ca_certs()}
    first = WAYS[rank]
    assert believed == (set() if first == "SSL_CERT_DIR" else {f"of {first}"})  # folders are looked into when needed
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_without_any_the_systems_certificates_are_believed() -> None:
    context = trust(None, dict.fromkeys(WAYS[1:], ""))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] or ssl.get_default_verify_paths().capath


def test_a_machine_without_certificates_has_those_of_certifi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))  # OpenSSL's own look at the environment
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert trust(None, {}).cert_store_stats()["x509_ca"] > 50


@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END"])
@pytest.mark.parametrize("way", ["--ca-bundle", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_what_is_no_bundle_is_named(way: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    given = path if way == "--ca-bundle" else None
    with pytest.raises(UsageError, match=f"^{way}.*: {path}") as caught:
        trust(given, {} if given else {way: str(path)})
    assert ("No such file" in caught.value.message) == (content is None)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^SSL_CERT_DIR: .*no such folder"):
        trust(None, {"SSL_CERT_DIR": str(tmp_path / "nothing")})
    trust(None, {"SSL_CERT_DIR": f"{tmp_path / 'nothing'}{os.pathsep}{tmp_path}"})


def test_the_program_says_it_once_and_ends_with_the_code_for_usage(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "acestep_fetch", "--dir", str(tmp_path), "--ca-bundle", str(tmp_path / "no.pem")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stderr.count("no.pem") == 1
    assert f"--ca-bundle (ACESTEP_FETCH_CA_BUNDLE): {tmp_path / 'no.pem'}: No such file" in ran.stderr


@pytest.mark.parametrize(
    ("names", "details", "said", "hint"),
    [
        ((), {"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "certificate has expired", "clock"),
        (("other.example",), {}, f"certificate is not valid for '{HF_HOST}'", "HF_ENDPOINT"),
        (None, {}, "unable to get local issuer certificate", "--ca-bundle FILE, SSL_CERT_FILE or REQUESTS_CA_BUNDLE"),
        ("self", {}, "self-signed certificate", "--ca-bundle FILE, SSL_CERT_FILE or REQUESTS_CA_BUNDLE"),
    ],
    ids=["expired", "wrong host", "unknown authority", "self-signed"],
)
async def test_a_certificate_that_is_not_trusted_is_one_clear_error(
    names: tuple[str, ...] | str | None,
    details: dict[str, datetime],
    said: str,
    hint: str,
    ca: trustme.CA,
    bundle: Path,
    tmp_path: Path,
) -> None:
    if names == "self":
        context = _self_signed(tmp_path)
    elif names is None:
        context = server_context(trustme.CA())
    else:
        context = server_context(ca, *names, **details)
    async with world(tmp_path, tls=context) as run:
        report = await run.fetch(ca_bundle=bundle)
        assert report.exit_code == 5
        assert isinstance(report.error, NetworkError)
        expected = f"{HF_HOST}:{run.hubs[HubName.HUGGINGFACE].port}: the certificate is not trusted: "
        assert any(attempt.startswith(expected) and said in attempt for attempt in report.error.attempts)
        assert hint in (report.error.hint or "")
        assert report.seconds < 3, "was tried again and again"
        assert not run.peers(), "something was asked over a connection that is not trusted"


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "own.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", f"/CN={HF_HOST}", "-addext", f"subjectAltName=IP:{HF_HOST},IP:{MS_HOST},IP:{CONTENT_HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *name, *files], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_servers_own_certificate_may_be_named(tmp_path: Path) -> None:
    async with world(tmp_path, tls=_self_signed(tmp_path)) as run:
        report = await run.fetch(ca_bundle=tmp_path / "own.pem")
        assert report.exit_code == 0, report.error
        assert run.is_whole()


async def test_the_content_network_is_verified_too(ca: trustme.CA, bundle: Path, tmp_path: Path) -> None:
    async with world(tmp_path, tls=server_context(ca, HF_HOST, MS_HOST)) as run:
        report = await run.fetch(ca_bundle=bundle)
        assert report.exit_code == 5
        assert report.error is not None
        assert f"{CONTENT_HOST}: the certificate is not trusted: " in report.error.message
        assert "names" in (report.error.hint or "")
        assert report.seconds < 5
        assert CONTENT_HOST not in {host.partition(":")[0] for host in run.hosts_asked()}


async def test_a_hub_that_is_not_trusted_is_left_for_the_other(ca: trustme.CA, bundle: Path, tmp_path: Path) -> None:
    async with world(tmp_path, tls=server_context(ca, MS_HOST, CONTENT_HOST)) as run:
        report = await run.fetch(ca_bundle=bundle)
        assert report.exit_code == 0, report.error
        assert run.is_whole()
        assert not run.peers(HubName.HUGGINGFACE)


class Downgraded(Action):
    """Redirects of one kind lead to a plain server."""

    def __init__(self, kind: Kind, plain: str) -> None:
        self.kind, self.plain = kind, plain

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        if self.kind is Kind.API and kind_of(request) is Kind.API:
            return web.Response(status=302, headers={hdrs.LOCATION: self.plain + request.raw_path})
        return None

    def reshape(self, request: web.Request, relay: Relay) -> None:
        there = relay.headers.get(hdrs.LOCATION, "")
        if self.kind is not Kind.API and there:
            relay.headers[hdrs.LOCATION] = self.plain + "/" + there.split("/", 3)[-1]


@pytest.mark.parametrize("kind", [Kind.API, Kind.RESOLVER])
async def test_nothing_goes_from_https_to_http(kind: Kind, ca: trustme.CA, bundle: Path, tmp_path: Path) -> None:
    """Neither a list nor a file, though the plain server would have both."""
    async with world(tmp_path, tls=server_context(ca)) as run, serving(run.source) as plain:
        for hub in run.hubs.values():
            hub.faults.rules.append(Rule(Downgraded(kind, plain.url), method=None))
        report = await asyncio.wait_for(run.fetch(ca_bundle=bundle, token="hf_secret"), 60)
        assert report.exit_code in (5, 6), report.error
        assert not plain.recorder.entries
        assert not (run.target / REPO.partition("/")[2]).exists()
        said = "unsafe address" if kind is Kind.API else "from https to http"
        assert said in "".join([*run.events, *(report.error.attempts if report.error else ())])
