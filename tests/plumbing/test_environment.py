"""What the environment's proxy variables mean."""

from __future__ import annotations

import pytest

from acestep_fetch.core.errors import UsageError
from acestep_fetch.transport.proxies import Proxies, Proxy, is_excepted, parse


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://p:3128", Proxy("http", "p", 3128)),
        ("p:3128", Proxy("http", "p", 3128)),
        ("127.0.0.1", Proxy("http", "127.0.0.1", 80)),
        (" HTTPS://P/ ", Proxy("https", "p", 443)),
        ("socks5://127.0.0.1:7890", Proxy("socks5", "127.0.0.1", 7890)),
        ("socks5h://127.0.0.1", Proxy("socks5", "127.0.0.1", 1080)),
        ("socks://127.0.0.1:7890/", Proxy("socks5", "127.0.0.1", 7890)),
        ("socks5://[fd00::1]:7890", Proxy("socks5", "fd00::1", 7890)),
        ("http://me:a%40b%3Ac@p:1", Proxy("http", "p", 1, "me", "a@b:c")),
        ("me:secret@p:1", Proxy("http", "p", 1, "me", "secret")),
        ("http://me@p:1", Proxy("http", "p", 1, "me", "")),
        ("socks5://%E6%88%91:%25@p", Proxy("socks5", "p", 1080, "我", "%")),
        ("http://@p:1", Proxy("http", "p", 1)),
    ],
)
def test_a_proxy_is_read_as_people_write_it(text: str, proxy: Proxy) -> None:
    assert parse(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "socks4://me:secret@p",
        "ftp://me:secret@p",
        "http://me:secret@",
        "http://me:secret@p:x",
        "http://me:secret@p:99999",
        "http://me:secret@[p",
        "http://me:secret@a b",
        "http://me:%ffsecret@p",
        "http://m%3Ae:secret@p",
        f"socks5://me:secret{'x' * 250}@p",
    ],
)
def test_what_is_no_proxy_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match=r"proxy|SOCKS") as caught:
        parse(text)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_code == 2


def test_a_password_is_in_nothing_that_is_shown() -> None:
    proxy = parse("http://me:secret@[fd00::1]:3128")
    assert "secret" not in f"{proxy!r} {proxy.url} {proxy.place} {proxy.wants_login()} {proxy.refusal('h', 403)}"
    assert proxy.place == "[fd00::1]:3128"


@pytest.mark.parametrize(
    ("rules", "host", "port", "excepted"),
    [
        ("", "h.example.org", 443, False),
        ("*", "h.example.org", 443, True),
        ("example.org", "example.org", 443, True),
        ("example.org", "h.example.org", 443, True),
        (".example.org", "h.example.org", 443, True),
        (".example.org", "example.org", 443, True),
        ("*.example.org", "h.example.org", 443, True),
        ("example.org.", "h.example.org", 443, True),
        ("EXAMPLE.org", "H.Example.ORG", 443, True),
        ("example.org", "badexample.org", 443, False),
        ("example.org", "example.org.evil", 443, False),
        ("h.example.org", "example.org", 443, False),
        ("example.org:8443", "example.org", 443, False),
        ("example.org:443", "h.example.org", 443, True),
        ("a, b  example.org", "example.org", 443, True),
        ("10.0.0.0/8", "10.9.8.7", 80, True),
        ("10.0.0.0/8", "11.9.8.7", 80, False),
        ("10.0.0.0/8", "h.example.org", 80, False),
        ("10.9.8.7/8", "10.1.1.1", 80, True),
        ("10.9.8.7", "10.9.8.7", 80, True),
        ("9.8.7", "10.9.8.7", 80, False),
        ("10.9.8.7:80", "10.9.8.7", 80, True),
        ("fd00::1", "fd00::1", 80, True),
        ("[fd00::1]", "fd00::1", 80, True),
        ("[fd00::1]:80", "fd00::1", 80, True),
        ("[fd00::1]:80", "fd00::1", 81, False),
        ("fd00::/8", "fd00::1", 80, True),
        ("x/y, :, [, a:b:c", "h.example.org", 443, False),
    ],
)
def test_no_proxy(rules: str, host: str, port: int, excepted: bool) -> None:
    assert is_excepted(host, port, rules) is excepted


@pytest.mark.parametrize(
    ("environ", "url", "place"),
    [
        ({}, "https://h/", None),
        ({"HTTPS_PROXY": "u"}, "https://h/", "u:80"),
        ({"https_proxy": "l", "HTTPS_PROXY": "u"}, "https://h/", "l:80"),
        ({"https_proxy": "", "HTTPS_PROXY": "u"}, "https://h/", None),
        ({"HTTPS_PROXY": "u"}, "http://h/", None),
        ({"http_proxy": "l"}, "http://h/", "l:80"),
        ({"HTTP_PROXY": "u"}, "http://h/", "u:80"),
        ({"HTTP_PROXY": "u", "REQUEST_METHOD": "GET"}, "http://h/", None),  # a request's own header, in CGI
        ({"ALL_PROXY": "a"}, "http://h/", "a:80"),
        ({"all_proxy": "a", "HTTPS_PROXY": "u"}, "https://h/", "u:80"),
        ({"all_proxy": "a", "HTTPS_PROXY": "u"}, "http://h/", "a:80"),
        ({"all_proxy": "a", "no_proxy": "h"}, "http://h/", None),
        ({"all_proxy": "a", "NO_PROXY": "h"}, "http://x.h:81/", None),
        ({"all_proxy": "a", "NO_PROXY": "h:80"}, "http://h/", None),
        ({"all_proxy": "a", "NO_PROXY": "h:80"}, "https://h/", "a:80"),
        ({"all_proxy": "a"}, "http://localhost:1/", None),
        ({"all_proxy": "a"}, "http://127.0.0.1:1/", None),
        ({"all_proxy": "a"}, "https://[::1]:1/", None),
    ],
)
async def test_which_proxy(
    environ: dict[str, str], url: str, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = await Proxies.from_environment().find(url)
    assert (found.place if found else None) == place


async def test_the_systems_own_exceptions_count_for_the_systems_proxies() -> None:
    """As Windows and macOS keep them."""
    proxies = Proxies({"http": "p"}, system=lambda host: host == "inside.example")
    assert await proxies.find("http://inside.example/") is None
    assert await proxies.find("http://outside.example/") == Proxy("http", "p", 80)


@pytest.mark.parametrize("key", ["http", "https", "all"])
def test_a_proxy_that_cannot_be_used_is_told_at_once(key: str) -> None:
    with pytest.raises(UsageError, match="socks9"):
        Proxies({key: "socks9://p"})
    Proxies({"ftp": "socks9://p"})


@pytest.mark.parametrize(
    ("proxy", "without", "environ", "url", "place"),
    [
        (None, None, {"HTTPS_PROXY": "e"}, "https://h/", "e:80"),
        ("f:1", None, {"HTTPS_PROXY": "e"}, "https://h/", "f:1"),
        ("f:1", None, {}, "http://h/", "f:1"),
        ("f:1", None, {"NO_PROXY": "h"}, "https://h/", None),
        ("f:1", "x", {"NO_PROXY": "h"}, "https://h/", "f:1"),
        (None, "h", {"HTTPS_PROXY": "e"}, "https://h/", None),
        (None, "x", {"HTTPS_PROXY": "e", "NO_PROXY": "h"}, "https://h/", "e:80"),
        (None, "*", {"ALL_PROXY": "e"}, "https://h/", None),
        ("f:1", None, {}, "http://127.0.0.1/", None),
    ],
)
async def test_what_is_chosen_goes_before_the_environment(
    proxy: str | None,
    without: str | None,
    environ: dict[str, str],
    url: str,
    place: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = await Proxies.chosen(proxy, without).find(url)
    assert (found.place if found else None) == place
