"""Checkpoints folders as people have them, built on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Build = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Makes a checkpoints folder with these files; a name that ends in a slash is an empty folder."""

    def made(files: Mapping[str, bytes]) -> Path:
        root = tmp_path / "checkpoints"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return made


def safetensors(length: int = 64, cut: int = 0) -> bytes:
    """A file with one tensor of `length` bytes, `cut` of which are missing."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}}).encode()
    return (len(header).to_bytes(8, "little") + header + b"\1" * length)[: None if not cut else -cut]


def index(*shards: str) -> bytes:
    return json.dumps({"weight_map": {f"w{number}": shard for number, shard in enumerate(shards)}}).encode()


def sft(name: str = "acestep-v15-sft") -> dict[str, bytes]:
    """A DiT that is whole."""
    return {
        f"{name}/config.json": b"{}",
        f"{name}/modeling_acestep_v15_base.py": b"import torch\n",
        f"{name}/silence_latent.pt": b"pt",
        f"{name}/model.safetensors": safetensors(),
    }
