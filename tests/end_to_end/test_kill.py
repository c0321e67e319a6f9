"""``kill -9`` at random moments: little is fetched again, and nothing half-done is ever seen."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import events, hubs
from tests.support.trees import make_repo, tree_digests

GIB = 1 << 30
PIECE = 8 << 20
CONNECTIONS = 6  # to each hub


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills", [pytest.param(10), pytest.param(200, marks=(pytest.mark.long, pytest.mark.timeout(1800)))]
)
def test_kill_9_at_random_moments_of_a_gibibyte(kills: int, tmp_path: Path) -> None:
    make_repo(tmp_path / "hub", "ACE-Step/acestep-v15-base", {"model.safetensors": GIB, "config.json": 500})
    folder, draw = tmp_path / "out", random.Random(20261123)
    flags = ["--model", "acestep-v15-base", "--skip-main", "--dir", str(folder), "--progress", "json"]
    again = list[int]()
    with hubs(tmp_path / "hub", throttle=140e6 / kills) as both:  # so that it is not done before
        both.run(*flags, "--dry-run")  # the hub hashes its files once
        done = 0
        for _ in range(kills):
            process = both.start(*flags, ACESTEP_FETCH_CONNECTIONS=str(CONNECTIONS))
            time.sleep(0.9 + draw.random() * 0.5)
            process.kill()
            lines = events(process.communicate()[0])
            assert not (folder / "acestep-v15-base").exists()
            if plan := [line for line in lines if line["event"] == "plan"]:
                held = plan[-1]["partial"]
                again.append(max(0, done - held))
                done = max([held, *(line["bytes_done"] for line in lines if line["event"] == "progress")])
        ended = both.run(*flags)
        assert ended.returncode == 0, ended.stderr
        last = events(ended.stdout)
        again.append(max(0, done - next(line for line in last if line["event"] == "plan")["partial"]))
        surplus = both.sent - GIB
    print(f"\nfetched again after each kill, MiB: {[round(n / 2**20, 1) for n in again]}; in all {surplus / 2**20:.0f}")
    assert len(again) > min(kills, 10) // 2
    assert max(again) <= PIECE * CONNECTIONS * 2
    assert tree_digests(folder / "acestep-v15-base") == tree_digests(tmp_path / "hub" / "ACE-Step" / "acestep-v15-base")
    assert list((folder / ".acestep-fetch" / "parts").iterdir()) == []
