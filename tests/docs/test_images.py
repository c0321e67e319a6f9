"""The pictures: pictures, small, and of nobody's machine."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.pages import DOCS
from tests.screenshots import PICTURES

IMAGES = sorted((DOCS / "images").glob("*.svg"))


def test_all_of_them_are_there() -> None:
    assert [path.stem for path in IMAGES] == sorted(PICTURES)


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_a_picture(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert len(text) < 30_000
    shown = text.replace("&#160;", " ")
    assert "$ acestep-fetch" in re.sub(r"<[^>]*>", "", shown)
    assert not re.search(r"/tmp|/root|/home|127\.0\.0\.1|https?://(?!www\.w3\.org|www\.textualize)", shown)
