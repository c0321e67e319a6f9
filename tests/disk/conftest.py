"""One pair of hubs for all tests of disks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.disk.lab import FILES, REPO, Lab
from tests.disk.zygote import Forked, Zygote
from tests.end_to_end.conftest import Hubs, hubs
from tests.support.trees import make_repo


@pytest.fixture(scope="session")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    root = tmp_path_factory.mktemp("disk-hubs")
    make_repo(root, REPO, FILES)
    with hubs(root) as pair:
        yield pair


@pytest.fixture(scope="session")
def _zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def lab(_pair: Hubs, _zygote: Zygote) -> Iterator[Lab]:
    """No process that it started outlives the test: one would keep a disk busy."""
    lab = Lab(_pair, _pair.hf.hub.setup.root, _zygote)
    yield lab
    for process in lab.started:
        if isinstance(process, Forked):
            process.stop()
        elif process.stdout and not process.stdout.closed:
            process.kill()
            process.communicate()
