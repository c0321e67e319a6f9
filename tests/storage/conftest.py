"""Every promise is kept twice: with the system's own calls, and with nothing but seek, read and write."""

from __future__ import annotations

import pytest

from acestep_fetch.storage import platform


@pytest.fixture(params=["native", "portable"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind = str(request.param)
    monkeypatch.setattr(platform, "PORTABLE", kind == "portable")
    return kind
