"""Links lead somewhere, and every command line that a page shows is one that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks, misunderstood

ROOT = DOCS.parent
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md")])
SHOWN = ("recipes.md", "first-song.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_sections(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    broken = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link and not _leads(page, link)]
    assert broken == []


def _leads(page: Path, link: str) -> bool:
    path, _, section = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not section:
        return target.exists()
    heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), flags=re.MULTILINE)
    return section in [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]


@pytest.mark.parametrize("page", SHOWN)
def test_every_command_line_is_understood(page: str) -> None:
    shown = [words for block in blocks(page) for words in block.command_lines]
    assert len(shown) > 5
    wrong = [f"acestep-fetch {shlex.join(words)}: {said}" for words in shown if (said := misunderstood(words))]
    assert wrong == []
