"""What was left by an earlier run, and what is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from acestep_fetch.core.events import PieceRepaired
from acestep_fetch.core.model import Digest, HubName
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import RECORD_EVERY, PartFile, PieceWriter
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS
from tests.support.faults import IgnoreRange, Rule
from tests.support.recorder import Kind
from tests.support.trees import content_of

PIECES = 20


def leave_part(folder: Path, right: bytes, held: list[tuple[int, str, bool]]) -> None:
    """A part file with the pieces (number, source, whether it is right) of an earlier run."""
    digest = Digest("sha256", hashlib.sha256(right).hexdigest())
    part = PartFile.open(Layout(folder).part(digest), len(right), digest, ["huggingface", "modelscope"])
    for number, source, good in held:
        at = number * RECORD_EVERY
        data = right[at : at + RECORD_EVERY]
        writer = PieceWriter(part, source, at)
        writer.write([data if good else bytes([data[0] ^ 1]) + data[1:]])
        writer.finish()
    part.close()


async def test_lies_of_a_hub_that_is_gone(tmp_path: Path) -> None:
    """Every other piece came from ModelScope and is wrong; ModelScope is dead by now."""
    right = content_of("made/Repo/a.bin", PIECES * RECORD_EVERY)
    async with hubs(tmp_path, {"a.bin": right}) as w:
        await w.hubs[MS].kill()
        held = [(n, "modelscope" if n % 2 else "huggingface", not n % 2) for n in range(PIECES)]
        leave_part(w.folder, right, held)
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert {event.culprit for event in ran.of(PieceRepaired)} == {"modelscope"}


@pytest.mark.parametrize("alive", [HF, MS], ids=lambda hub: hub.value)
async def test_holes_are_filled_by_a_hub_that_ignores_ranges(alive: str, tmp_path: Path) -> None:
    right = content_of("made/Repo/a.bin", 12 * MIB + 5)
    ignored = [Rule(IgnoreRange())]
    async with hubs(tmp_path, {"a.bin": right}, hf=ignored, ms=list(ignored)) as w:
        await w.hubs[HF if alive is MS else MS].kill()
        leave_part(w.folder, right, [(1, "huggingface", True), (4, "modelscope", True)])
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        # one pass over the whole file, however many holes it has; what lies before the first is skipped
        assert len(right) - RECORD_EVERY <= ran.report.bytes_fetched <= len(right)
        assert sum(entry.sent == len(right) for entry in w.hubs[HubName(alive)].recorder.of(Kind.CONTENT)) == 1


async def test_a_part_that_is_whole_needs_no_byte(tmp_path: Path) -> None:
    right = content_of("made/Repo/a.bin", 12 * MIB)
    async with hubs(tmp_path, {"a.bin": right}) as w:
        leave_part(w.folder, right, [(n, "huggingface", True) for n in range(6)])
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert ran.report.bytes_fetched == 0
        assert w.leftovers() == []
