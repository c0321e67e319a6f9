"""What doctor sees of the way to the hubs, on real sockets; what it says of it, and that it never hangs."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from acestep_fetch.core.model import HubName
from acestep_fetch.doctor.findings import Finding, Level
from acestep_fetch.doctor.network import NetworkFacts, look_at_network
from acestep_fetch.doctor.verdicts import of_network
from acestep_fetch.options import Options
from acestep_fetch.transport.peek import issuer_of
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_repo

HF, MS = HubName.HUGGINGFACE, HubName.MODELSCOPE
PATIENCE = 1.5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    make_repo(folder, "ACE-Step/Ace-Step1.5", {"config.json": 300})
    return folder


def context_of(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def look(pair: Hubs | None = None, **settings: Any) -> NetworkFacts:
    found: dict[str, Any] = {"probe_url": "http://127.0.0.1:1/"}
    if pair:
        found |= {
            "huggingface_endpoint": pair.hf.url,
            "modelscope_endpoint": pair.ms.url,
            "probe_url": f"{pair.hf.url}/api/models/ACE-Step/Ace-Step1.5",
        }
    return look_at_network(Options(**(found | settings)), PATIENCE)


def said(facts: NetworkFacts, prefer: HubName | None = None, deadline: float = 3.0) -> dict[str, Finding]:
    return {finding.what: finding for finding in of_network(facts, prefer, deadline)}


@contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def dead() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_both_hubs_answer(root: Path) -> None:
    with hubs(root) as pair:
        facts = look(pair)
    found = said(facts)
    assert {finding.level for finding in found.values()} == {Level.OK}, found
    assert set(found) == {"Hugging Face", "ModelScope", "Google", "choice"}, "no TLS, no line about it"
    assert f"{pair.hf.url} answers in " in found["Hugging Face"].detail
    assert "(127.0.0.1, name " in found["Hugging Face"].detail
    assert ", connection " in found["Hugging Face"].detail
    assert "first byte " in found["Hugging Face"].detail
    assert found["choice"].detail == "Hugging Face would come first, then ModelScope: Google is reachable"


def test_the_choice_is_the_probes(root: Path) -> None:
    with hubs(root) as pair:
        facts = look(pair, probe_url=f"http://127.0.0.1:{dead()}/")
        assert said(facts)["choice"].detail == "ModelScope would come first, then Hugging Face: Google is not reachable"
        assert "not reachable" in said(facts)["Google"].detail
        assert "Connection refused" in said(facts)["Google"].detail
        assert said(facts, prefer=HF)["choice"].detail.endswith("Hugging Face is preferred")
        late = said(look(pair), deadline=1e-9)
        assert "not in time for the probe" in late["Google"].detail


def test_who_signed_the_certificate_is_told(root: Path, tmp_path: Path) -> None:
    ca = trustme.CA(organization_name="Honest Authority")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with hubs(root, ssl_context=context_of(ca)) as pair:
        found = said(look(pair, ca_bundle=tmp_path / "ca.pem"))
        assert {finding.level for finding in found.values()} == {Level.OK}, found
        assert found["Hugging Face TLS"].detail.startswith("signed by Honest Authority")
        assert ", TLS " in found["ModelScope"].detail

        refused = said(look(pair))
        assert refused["Hugging Face"].level is Level.FAIL
        assert "the certificate is not trusted: " in refused["Hugging Face"].detail
        assert "signed by Honest Authority" in refused["Hugging Face TLS"].detail
        assert "and not believed" in refused["Hugging Face TLS"].detail
        assert "--ca-bundle" in refused["Hugging Face TLS"].todo
        assert refused["choice"].level is Level.FAIL


@pytest.mark.parametrize("name", ["Zscaler Inc.", "Kaspersky Anti-Virus Personal Root", "ESET, spol. s r. o."])
def test_who_opens_connections_on_the_way_is_named(name: str, root: Path, tmp_path: Path) -> None:
    ca = trustme.CA(organization_name=name)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with hubs(root, ssl_context=context_of(ca)) as pair:
        believed = said(look(pair, ca_bundle=tmp_path / "ca.pem"))["ModelScope TLS"]
        assert believed.level is Level.WARN
        assert believed.detail.startswith(name)
        assert "opens the connections on their way" in believed.detail
        refused = said(look(pair))["ModelScope TLS"]
        assert refused.level is Level.FAIL
        assert "is not believed" in refused.detail


def test_nothing_secret_goes_over_a_connection_that_is_not_believed(root: Path) -> None:
    with hubs(root, ssl_context=context_of(trustme.CA())) as pair:
        look(pair, token="hf_abcdefghij", modelscope_token="ms-abcdefghij")
        asked = [entry.headers for hub in (pair.hf, pair.ms) for entry in hub.recorder.entries]
    assert asked
    assert not any("authorization" in {name.lower() for name in headers} for headers in asked)
    assert not any("cookie" in {name.lower() for name in headers} for headers in asked)


def test_one_hub_is_enough(root: Path) -> None:
    with hubs(root) as pair:
        found = said(look(pair, modelscope_endpoint=f"http://127.0.0.1:{dead()}"))
    assert found["ModelScope"].level is Level.WARN
    assert "Connection refused" in found["ModelScope"].detail
    assert found["ModelScope"].todo == "the other hub is used meanwhile"
    assert found["choice"].level is Level.OK


def test_nobody_there(root: Path) -> None:
    with silent() as port:
        began = time.monotonic()
        facts = look(
            huggingface_endpoint=f"http://127.0.0.1:{port}",
            modelscope_endpoint="http://no-such-hub.invalid",
            probe_url=f"https://127.0.0.1:{port}/",
        )
        assert time.monotonic() - began < PATIENCE + 2, "waited for the silent one longer than it may"
    found = said(facts)
    assert {found[what].level for what in ("Hugging Face", "ModelScope", "choice")} == {Level.FAIL}
    assert "no answer in time" in found["Hugging Face"].detail
    assert ", connection " in found["Hugging Face"].detail, "how far it came is not told"
    assert "name is not found" in found["ModelScope"].todo
    assert "nothing can be fetched" in found["choice"].detail


def test_a_resolver_that_says_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def stuck(*question: object) -> Any:
        never.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    try:
        began = time.monotonic()
        facts = look(huggingface_endpoint="http://a.invalid", modelscope_endpoint="http://b.invalid")
        assert time.monotonic() - began < PATIENCE + 2
    finally:
        never.set()
    assert all(hub.steps.lookup is None and hub.asked.error for hub in facts.hubs)


def test_a_proxy_is_named_and_its_login_is_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = dead()
    monkeypatch.setenv("HTTPS_PROXY", f"http://anna:s3cret-pw@127.0.0.1:{port}")
    facts = look(huggingface_endpoint="https://hub.invalid", modelscope_endpoint="https://other.invalid")
    found = said(facts)
    assert f"the proxy 127.0.0.1:{port} cannot be reached: Connection refused" in found["Hugging Face"].detail
    assert f"by the proxy 127.0.0.1:{port}" in found["ModelScope"].detail
    assert "HTTPS_PROXY" in found["ModelScope"].todo
    assert "s3cret" not in repr(facts) + repr(found)


@pytest.mark.parametrize("noise", [b"", b"0", b"\x30\x82", b"\x30\x03\x30\x01\x00", bytes(300), b"\xff" * 50])
def test_a_certificate_that_cannot_be_read_has_no_issuer(noise: bytes) -> None:
    assert issuer_of(noise) == ""


def test_the_issuer_as_a_certificate_says_it() -> None:
    ca = trustme.CA(organization_name="Größe & Söhne")
    pem = ca.issue_cert("h.example").cert_chain_pems[0].bytes().decode()
    assert issuer_of(ssl.PEM_cert_to_DER_cert(pem)).startswith("Größe & Söhne")
