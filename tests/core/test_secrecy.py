from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_fetch.core.errors import FetchError
from acestep_fetch.core.secrecy import MASK, Secret, remember, repeats, scrubbed, without_echo

TOKEN = "tok-en+/=with~odd.letters"
tokens = st.text("abcXYZ019+/=~.-_%&?", min_size=8, max_size=40)


def test_a_secret_is_the_plain_text_for_who_sends_it_and_nothing_for_who_looks() -> None:
    secret = Secret(TOKEN)
    assert secret == TOKEN
    assert f"Bearer {secret}" == f"Bearer {TOKEN}"
    assert secret.encode() == TOKEN.encode()
    assert TOKEN not in repr(secret) + repr({"a": [secret]}) + f"{secret!r}"
    assert repr(secret) == "'***'"
    assert not hasattr(secret, "__dict__")  # which would be one per header
    assert isinstance(remember(TOKEN), Secret)
    assert remember(TOKEN) == TOKEN


@given(token=tokens, before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_what_is_remembered_is_found_in_every_spelling(token: str, before: bytes, after: bytes) -> None:
    remember(token)
    for text in (token, quote(token), quote(token, safe=""), quote_plus(token), quote(token, safe="").lower()):
        assert token not in scrubbed(f"a {text} b")
        assert quote(token, safe="") not in scrubbed(f"a {text} b")
    whole = before + token.encode() + after
    for encode in (b64encode, urlsafe_b64encode):
        shown = scrubbed(encode(whole).decode())
        assert shown != encode(whole).decode() or len(token) < 15  # the neighbours own up to four of its letters


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://me:pass@host/a", f"see https://{MASK}@host/a"),
        ("GET http://host/file?Expires=1&Signature=abc went wrong", f"GET http://host/file?{MASK} went wrong"),
        ("at /lfs/a?x=1&X-Amz-Signature=abc&y=2", f"at /lfs/a?x=1&X-Amz-Signature={MASK}&y=2"),
        ("hf_12345678 is short", f"hf_{MASK} is short"),
        ("Bearer 12345678", f"Bearer {MASK}"),
        ("hf_abcdefgh12345 is not a file", f"hf_{MASK} is not a file"),
        ("{'Authorization': 'Bearer abcdefghij'}", f"{{'Authorization': 'Bearer {MASK}'}}"),
        ("Proxy-Authorization: Basic bWU6cGFzcw==", f"Proxy-Authorization: Basic {MASK}"),
        ("Cookie: m_session_id=abc; other", f"Cookie: m_session_id={MASK}; other"),
        (
            "BasicAuth(login='me', password='pa ss', encoding='x')",
            f"BasicAuth(login='me', password='{MASK}', encoding='x')",
        ),
        ("(b'Set-Cookie', b'session=abc; Path=/')", f"(b'Set-Cookie', b'{MASK}')"),
    ],
)
def test_what_looks_like_a_secret_is_scrubbed_though_nobody_told(text: str, shown: str) -> None:
    assert scrubbed(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "made/Repo at 'main' is missing",
        "write it as https://HOST, without user name, password or ?",
        "Repo/a.bin: expected sha256:0123456789ab, got sha256:ba9876543210 from Hugging Face",
        "tried: 127.0.0.1:9/api/models/x: Connection refused",
        "give a token with --token-file or HF_TOKEN",
        "basic authentication failed",
    ],
)
def test_what_people_should_read_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_no_error_holds_a_secret() -> None:
    remember(TOKEN)
    error = FetchError(f"about {TOKEN}", hint=f"use {TOKEN}", attempts=[f"tried {quote(TOKEN)}"])
    assert TOKEN not in f"{error} {error!r} {error.message} {error.hint} {error.attempts}"
    assert quote(TOKEN) not in str(error.attempts)


def test_a_short_text_is_not_hunted_in_innocent_words() -> None:
    remember("main")
    remember("turbo_7")
    assert scrubbed("the main model, turbo_7") == "the main model, turbo_7"
    remember("turbo_v8")
    assert scrubbed("turbo_v8") == "***"
    assert repeats("turbo_v8", {"Authorization": Secret("turbo_v8")})
    assert not repeats("turbo_7", {"Authorization": Secret("turbo_7")})


@pytest.mark.parametrize("form", [str, quote, quote_plus, lambda text: quote(text, safe="")])
def test_a_text_that_repeats_what_was_sent_is_known(form: object) -> None:
    headers = {"Authorization": Secret(f"Bearer {TOKEN}"), "Range": "bytes=0-1"}
    assert repeats(f"http://other/{form(TOKEN)}/x", headers)  # type: ignore[operator]
    assert not repeats("http://other/bytes=0-1/x", headers)
    assert not repeats(f"http://other/{TOKEN}", {"Range": "bytes=0-1"})


def test_a_reply_loses_what_it_repeats_and_nothing_else() -> None:
    headers = {"Cookie": Secret(f"m_session_id={TOKEN}")}
    body = f'{{"path": "{TOKEN}.txt", "other": "{quote(TOKEN)}", "ü": "100%"}}'.encode()
    assert without_echo(body, headers) == f'{{"path": "{MASK}.txt", "other": "{MASK}", "ü": "100%"}}'.encode()
    assert without_echo(b"\xff\x00 100% binary", headers) == b"\xff\x00 100% binary"


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("token", ["qwertyui", "asdfghjkl", "zxcvbnmpoi", TOKEN])
@pytest.mark.parametrize("before", [b"", b"?", b"??", b"???"])
@pytest.mark.parametrize("after", [b"", b"?", b"??"])
def test_of_base64_only_letters_are_seen_that_a_neighbour_has_a_part_in(
    encode: Callable[[bytes], bytes], token: str, before: bytes, after: bytes
) -> None:
    whole = encode(before + token.encode() + after).decode()
    remember(token)
    left, mask, right = scrubbed(whole).partition(MASK)
    assert mask
    first, last = -(-8 * len(before) // 6), 8 * (len(before) + len(token)) // 6
    assert (left, right) == (whole[:first], whole[last:])


@pytest.mark.parametrize("token", ["löng-tökens", "\udcff-surrogate"])
def test_a_token_of_any_letters_is_found_in_every_spelling(token: str) -> None:
    remember(token)
    raw = token.encode("utf-8", "surrogateescape")
    assert scrubbed(quote(raw, safe="")) == MASK
    assert MASK in scrubbed(b64encode(raw).decode())


@pytest.mark.parametrize(
    "form", [str, lambda text: quote(text, safe=""), lambda text: b64encode(text.encode()).decode()]
)
def test_a_reply_loses_each_spelling_by_itself(form: Callable[[str], str]) -> None:
    headers = {"Authorization": Secret(f"Bearer {TOKEN}")}
    shown = without_echo(b"\xff a " + form(TOKEN).encode() + b" b \xe4", headers)
    assert MASK.encode() in shown
    assert form(TOKEN)[4:-4].encode() not in shown
    assert shown.startswith(b"\xff a ")
    assert shown.endswith(b" b \xe4")
