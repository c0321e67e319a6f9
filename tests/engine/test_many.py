"""Thousands of small files, and sizes at every edge."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from acestep_fetch.core.events import BytesReceived, FileVerified
from acestep_fetch.core.merge import ComponentManifest, ManifestFile
from acestep_fetch.core.model import RemoteFile
from acestep_fetch.engine.components import Component
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.engine.workload import Workload
from acestep_fetch.storage.checksum import Digests
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF
from tests.support.faults import IgnoreRange, Rule

EDGES = sorted({n + d for n in (1, MIB, 2 * MIB, 8 * MIB) for d in (-1, 0, 1)})


async def test_sizes_at_the_edges(tmp_path: Path) -> None:
    async with hubs(tmp_path, {f"{size}.bin": size for size in EDGES}) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert sum(event.count for event in ran.of(BytesReceived)) == sum(EDGES) == ran.report.bytes_fetched
        verified = {event.path: event for event in ran.of(FileVerified)}
        for size in EDGES:
            assert size == 0 or sum(verified[f"Repo/{size}.bin"].by_source.values()) == size


@pytest.mark.parametrize("rules", [[], [Rule(IgnoreRange())]], ids=["ranges", "whole files"])
async def test_both_digests_listed(rules: list[Rule], tmp_path: Path) -> None:
    """Large enough for LFS on Hugging Face, so that both hubs list a sha256."""
    async with hubs(tmp_path, {"a.bin": 11 * MIB, "b.bin": 3 * MIB}, hf=rules, ms=list(rules)) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)


async def test_idle_workers_cost_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ModelScope may not serve what Hugging Face lists by git's digest: its workers must not burn the processor."""
    asked, serves = list[None](), Workload._serves

    def counted(self: Workload, source: Source, transfer: Transfer) -> bool:
        asked.append(None)
        return serves(self, source, transfer)

    monkeypatch.setattr(Workload, "_serves", counted)
    files = {f"{n // 100}/{n}.json": 300 + n for n in range(120)}
    async with hubs(tmp_path, files, connections=16) as w:
        ran = await ended(w, 30)
        assert ran.report.exit_code == 0
        assert is_copy(w)
    assert len(asked) < 100 * len(files)


def test_looking_for_what_is_wanted_is_linear() -> None:
    def seconds(count: int) -> float:
        files = tuple(ManifestFile(f"{n}", RemoteFile(f"{n}", 1, git_sha1="0" * 40), (HF,)) for n in range(count))
        component = Component("x", ComponentManifest("x", "", HF, "c", files), {})
        component.staged = {file.path: Digests("", None) for file in files}
        began = time.perf_counter()
        assert component.complete
        return time.perf_counter() - began

    assert min(seconds(2000) for _ in range(3)) < 12 * min(seconds(500) for _ in range(3))
