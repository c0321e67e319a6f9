"""An authority of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme


@pytest.fixture(scope="package")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    ca.cert_pem.write_to_path(str(path))
    return path
