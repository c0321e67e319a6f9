"""One pair of hubs for all tests of disks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.disk.lab import FILES, REPO, Lab
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_repo


@pytest.fixture(scope="session")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("disk-hubs")
    make_repo(root, REPO, FILES)
    with hubs(root) as pair:
        yield pair


@pytest.fixture
def lab(_pair: Hubs) -> Iterator[Lab]:
    """No process that it started outlives the test: one would keep a disk busy."""
    lab = Lab(_pair, _pair.hf.hub.setup.root)
    yield lab
    for process in lab.started:
        process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()
