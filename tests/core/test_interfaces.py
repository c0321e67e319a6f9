"""What is handed over the border says no more than it was told."""

from __future__ import annotations

from acestep_fetch.core.interfaces import Request


def test_a_request_carries_no_header_that_nobody_gave_it() -> None:
    one, other = Request("https://a.example/x"), Request("https://b.example/y")
    assert (one.headers, other.headers) == ({}, {})
    assert one.headers is not other.headers  # what one host may see does not get to another
