"""Several runs of one command, as one summary: sums, and the exit code by the rule for causes that mix."""

from __future__ import annotations

from typing import Any

import pytest

from acestep_fetch.core.events import RunFinished
from acestep_fetch.engine.report import together


def end(code: int, model: str, **more: Any) -> RunFinished:
    retryable = code in (5, 9, 10) or code > 127
    said = {"retryable": retryable, "changed": not code} | ({"error": f"{model}: {code}"} if 0 < code < 128 else {})
    state = "ready" if not code else "failed"
    return RunFinished(code, {model: state}, 1, 2, 10, 3, {"huggingface": 10}, 2.0, **{**said, **more})


def test_one_is_itself() -> None:
    assert together([end(6, "a")]) == end(6, "a")


def test_what_they_did_is_added_up() -> None:
    told = together([end(0, "a", changed=True, bytes_dropped=4), end(0, "b", bytes_compared=2)])
    assert told.models == {"a": "ready", "b": "ready"}
    assert (told.files_verified, told.files_reused, told.bytes_fetched, told.bytes_reused) == (2, 4, 20, 6)
    assert (told.by_source, told.seconds, told.avg_bps) == ({"huggingface": 20}, 4.0, 5)
    assert (told.changed, told.bytes_dropped, told.bytes_compared, told.exit_code) == (True, 4, 2, 0)


@pytest.mark.parametrize(
    ("codes", "code", "retryable", "error"),
    [
        ([0, 0], 0, False, None),
        ([0, 6], 10, False, "1 of 2 models failed: b: 6"),
        ([3, 0, 8], 10, False, "2 of 3 models failed: a: 3"),
        ([3, 0, 5], 10, True, "2 of 3 models failed: a: 3"),
        ([5, 6], 6, False, "b: 6"),
        ([8, 3], 3, False, "b: 3"),
        ([9, 5], 5, True, "b: 5"),
        ([0, 6, 143], 143, True, None),
        ([6, 130], 130, True, None),
    ],
)
def test_the_exit_code(codes: list[int], code: int, retryable: bool, error: str | None) -> None:
    told = together([end(each, name) for each, name in zip(codes, "abc", strict=False)])
    assert (told.exit_code, told.retryable, told.error) == (code, retryable, error)


def test_what_was_ready_before_does_not_count() -> None:
    told = together([end(0, "a", changed=False), end(5, "b"), end(0, "c", changed=False)])
    assert (told.exit_code, told.retryable, told.error) == (5, True, "b: 5")
    assert told.models == {"a": "ready", "b": "failed", "c": "ready"}
