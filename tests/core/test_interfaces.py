"""What is handed over the border says no more than it was told."""

from __future__ import annotations

from acestep_fetch.core.interfaces import ApiReply, Request


def test_a_request_carries_no_header_that_nobody_gave_it() -> None:
    one, other = Request("https://a.example/x"), Request("https://b.example/y")
    assert (one.headers, other.headers) == ({}, {})
    assert one.headers is not other.headers  # what one host may see does not get to another


def test_what_is_printed_of_requests_and_replies_says_where_and_no_secret() -> None:
    signed = "https://a.example/x?X-Amz-Signature=abcdef0123456789"
    request = repr(Request(signed, {"Authorization": "Bearer hf_secret"}))
    reply = repr(ApiReply(200, {"set-cookie": "s3cret"}, b"s3cret", signed))
    assert request.startswith("Request('https://a.example/x?")
    assert reply.startswith("ApiReply(200, 'https://a.example/x?")
    assert reply.endswith(", 6 bytes)")
    assert not any(secret in text for text in (request, reply) for secret in ("abcdef0123456789", "s3cret", "hf_"))
