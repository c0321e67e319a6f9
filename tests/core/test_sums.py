"""Lines as coreutils write them. That `sha256sum` reads them is tested with the program itself (tests/cli)."""

from __future__ import annotations

import pytest

from acestep_fetch.core.sums import sum_line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("vae/config.json", "ab  vae/config.json"),
        ("a b", "ab  a b"),
        ("back\\slash", "\\ab  back\\\\slash"),
        ("new\nline", "\\ab  new\\nline"),
        ("re\rturn", "\\ab  re\\rturn"),
    ],
)
def test_a_line(path: str, line: str) -> None:
    assert sum_line("ab", path) == line
