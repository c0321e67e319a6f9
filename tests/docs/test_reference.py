"""The reference and the manual page are those of the parsers, and can be read."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from acestep_fetch.cli.surface import every, pages
from tests.reference import PROGRAM, ROOT, files, told

MANUAL = ROOT / f"docs/{PROGRAM}.1"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_is_committed_is_current(path: object) -> None:
    assert path.read_text("utf-8") == files()[path], "run: make reference"


def test_the_manual_renders_without_a_warning() -> None:
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    if not shutil.which("groff") and not shutil.which("mandoc"):
        pytest.skip("man has no groff")
    environment = os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANROFFOPT": ""}
    shown = subprocess.run(
        ["man", "--warnings", "-E", "utf-8", "-l", str(MANUAL)],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "")
    text = shown.stdout.replace("‐", "-").replace("−", "-")
    for page in every(pages()):
        assert f"{PROGRAM} {page.name}" in text or page.name == "get"
        assert all(flag.names[-1] in text for _, flags in told(page) for flag in flags)
    assert "EXIT STATUS" in text
    assert "HF_ENDPOINT" in text


def test_the_manual_is_right_by_the_other_reader_too() -> None:
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    found = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", str(MANUAL)], capture_output=True, text=True, timeout=60, check=False
    )
    # no release has a date yet
    assert [line for line in found.stdout.splitlines() if "missing date" not in line] == []
