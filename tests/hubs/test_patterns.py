from __future__ import annotations

import pytest

from acestep_fetch.hubs import select

PATHS = ["README.md", "vae/config.json", "vae/deep/a.safetensors", "VAE/b.json"]


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ((), (), PATHS),
        (("",), (" , ",), PATHS),
        (("*.json",), (), ["vae/config.json", "VAE/b.json"]),
        (("vae/",), (), ["vae/config.json", "vae/deep/a.safetensors"]),
        (("*.md, vae/*.json",), (), ["README.md", "vae/config.json"]),
        (("*.md", "vae/*.json"), (), ["README.md", "vae/config.json"]),
        ((), ("*.json,*.md",), ["vae/deep/a.safetensors"]),
        (("vae/*",), ("*.json",), ["vae/deep/a.safetensors"]),
        (("vae\\config.json",), (), ["vae/config.json"]),
        ("*.md", (), ["README.md"]),
    ],
)
def test_select(include: tuple[str, ...], exclude: tuple[str, ...], chosen: list[str]) -> None:
    assert select(PATHS, include, exclude) == chosen
