"""A working folder, and a home of one's own beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from acestep_fetch.configuration.files import everything
from acestep_fetch.configuration.layers import Said, resolve
from acestep_fetch.configuration.settings import SETTINGS


@dataclass(frozen=True)
class Place:
    here: Path
    xdg: Path

    @property
    def user(self) -> Path:
        return self.xdg / "acestep-fetch" / "config.toml"

    def write(self, name: str, text: str) -> None:
        file = self.user if name == "user" else self.here / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def environ(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"XDG_CONFIG_HOME": str(self.xdg), **(environ or {})}

    def found(self, environ: Mapping[str, str] | None = None) -> dict[str, Said]:
        return resolve(SETTINGS, everything(self.environ(environ), self.here))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "here").mkdir()
    return Place(tmp_path / "here", tmp_path / "xdg")
