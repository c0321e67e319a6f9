"""No reply is believed before it matches the question (RFC 9110 14 and 15.3.7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.replies import span_of
from acestep_fetch.core.spans import Span

ASKED, SIZE = Span(100, 200), 1000
RIGHT = {"content-range": "bytes 100-199/1000", "content-length": "100"}


def changed(**headers: str) -> dict[str, str]:
    return RIGHT | {name.replace("_", "-"): value for name, value in headers.items()}


RIGHT_REPLIES = {
    "the range": (206, RIGHT, ASKED),
    "a range without a length (chunked)": (206, {"content-range": "bytes 100-199/1000"}, ASKED),
    "a range of unknown total": (206, changed(content_range="bytes 100-199/*"), ASKED),
    "the beginning of the range": (
        206,
        changed(content_range="bytes 100-149/1000", content_length="50"),
        Span(100, 150),
    ),
    "one byte of the range": (206, changed(content_range="bytes 100-100/1000", content_length="1"), Span(100, 101)),
    "identity coding": (206, changed(content_encoding="identity"), ASKED),
    "identity coding, shouted": (206, changed(content_encoding=" Identity "), ASKED),
    "padded header": (206, changed(content_range=" bytes 100-199/1000 "), ASKED),
    "ModelScope's gateway: 200 with a Content-Range": (200, RIGHT, ASKED),
    "the whole file": (200, {"content-length": "1000"}, Span(0, SIZE)),
    "the whole file, chunked": (200, {}, Span(0, SIZE)),
}

WRONG_REPLIES = {
    "206 without a range": (206, {"content-length": "100"}),
    "multipart ranges": (206, {"content-type": "multipart/byteranges; boundary=x"}),
    "starts late": (206, changed(content_range="bytes 101-200/1000")),
    "starts early": (206, changed(content_range="bytes 0-99/1000")),
    "starts right, ends beyond": (206, changed(content_range="bytes 100-200/1000", content_length="101")),
    "the whole file as a range": (206, changed(content_range="bytes 0-999/1000", content_length="1000")),
    "another total": (206, changed(content_range="bytes 100-199/1001")),
    "no total": (206, changed(content_range="bytes 100-199")),
    "unsatisfied form": (206, changed(content_range="bytes */1000")),
    "backwards": (206, changed(content_range="bytes 199-100/1000")),
    "another unit": (206, changed(content_range="items 100-199/1000")),
    "no unit": (206, changed(content_range="100-199/1000")),
    "two headers joined": (206, changed(content_range="bytes 100-199/1000, bytes 100-199/1000")),
    "negative": (206, changed(content_range="bytes -100-199/1000")),
    "garbage": (206, changed(content_range="\x00\xff")),
    "empty": (206, changed(content_range="")),
    "digits of another script": (206, changed(content_range="bytes ١٠٠-١٩٩/1000")),
    "a number without end": (206, changed(content_range=f"bytes 100-{'9' * 5000}/1000")),
    "gateway's 200, shifted": (200, changed(content_range="bytes 0-99/1000")),
    "gateway's 200, another total": (200, changed(content_range="bytes 100-199/999")),
    "range, but the length of the whole file": (200, changed(content_length="1000")),
    "length one short": (206, changed(content_length="99")),
    "length one over": (206, changed(content_length="101")),
    "length negative": (206, changed(content_length="-100")),
    "length signed": (206, changed(content_length="+100")),
    "length twice": (206, changed(content_length="100, 100")),
    "length superscript": (206, changed(content_length="¹00")),
    "length without end": (206, changed(content_length="9" * 5000)),
    "length empty": (206, changed(content_length="")),
    "gzip": (206, changed(content_encoding="gzip")),
    "gzip over identity": (206, changed(content_encoding="identity, gzip")),
    "brotli in capitals": (206, changed(content_encoding="BR")),
    "the whole file, but of another size": (200, {"content-length": "999"}),
    "the whole file, compressed": (200, {"content-encoding": "gzip"}),
    **{f"status {status}": (status, RIGHT) for status in (0, 201, 204, 304, 404, 416, 429, 500, 503)},
}


@pytest.mark.parametrize(("status", "headers", "span"), RIGHT_REPLIES.values(), ids=RIGHT_REPLIES)
def test_right_replies_say_which_bytes_they_bring(status: int, headers: dict[str, str], span: Span) -> None:
    assert span_of(ASKED, SIZE, status, headers) == span


@pytest.mark.parametrize(("status", "headers"), WRONG_REPLIES.values(), ids=WRONG_REPLIES)
def test_wrong_replies_are_refused(status: int, headers: dict[str, str]) -> None:
    with pytest.raises(SourceError) as caught:
        span_of(ASKED, SIZE, status, headers)
    assert caught.value.failure is Failure.WRONG_REPLY
    assert len(caught.value.message) < 200  # a hostile header does not flood the terminal


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("another total", "1001 bytes in all, 1000 listed"),
        ("starts late", "bytes 101-200 where 100-199 were asked for"),
        ("length one short", "99 bytes announced, 100 expected"),
        ("206 without a range", "206 without Content-Range"),
        ("multipart ranges", "multipart ranges"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_wire(reply: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        span_of(ASKED, SIZE, *WRONG_REPLIES[reply])
    assert caught.value.message.endswith(f": {said}")


@settings(deadline=None, max_examples=300)
@given(data=st.data(), size=st.integers(1, 12) | st.integers(1, (1 << 63) - 1), announced=st.booleans())
def test_a_server_that_keeps_to_the_question_is_believed(data: st.DataObject, size: int, announced: bool) -> None:
    start = data.draw(st.integers(0, size - 1))
    asked = Span(start, data.draw(st.integers(start + 1, size)))
    sent = Span(start, data.draw(st.integers(start + 1, asked.stop)))
    total = data.draw(st.sampled_from([str(size), "*"]))
    headers = {"content-range": f"bytes {sent.start}-{sent.stop - 1}/{total}"}
    if announced:
        headers["content-length"] = str(sent.stop - sent.start)
    assert span_of(asked, size, 206, headers) == sent


@settings(deadline=None, max_examples=300)
@given(
    bounds=st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda pair: Span(pair[0], pair[0] + pair[1])),
    status=st.sampled_from([200, 206, 416]),
    content_range=st.one_of(
        st.none(),
        st.text(alphabet="bytes 0123-/*,", max_size=20),
        st.builds("bytes {}-{}/{}".format, st.integers(-1, 60), st.integers(-1, 60), st.sampled_from([60, 61, "*"])),
    ),
    length=st.one_of(st.none(), st.text(max_size=4), st.integers(-1, 60).map(str)),
)
def test_whatever_comes_the_answer_lies_in_the_question_or_is_the_file(
    bounds: Span, status: int, content_range: str | None, length: str | None
) -> None:
    headers = {"content-range": content_range, "content-length": length}
    try:
        span = span_of(bounds, 60, status, {name: value for name, value in headers.items() if value is not None})
    except SourceError:
        return
    within = span.start == bounds.start and span.stop <= bounds.stop and len(span) > 0
    assert within or (span == Span(0, 60) and content_range is None)
    assert length is None or int(length) == len(span)
