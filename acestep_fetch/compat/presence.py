"""Does a model exist? Answered offline, from a few stat calls.

ACE-Step takes a folder for a model, later one weight or index file for it, so that half a download counts as a whole
one and dies when it is loaded. Here a model of the catalogue exists when its receipt, which is written when every
byte has been verified, fits what is on disk. A folder that we know nothing about (somebody's own fine-tune) exists
when it is whole, as far as its own files tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue import Model, load_catalogue

_WEIGHTS: Final = ("model", "diffusion_pytorch_model", "pytorch_model")
_NEEDED: Final = {
    "acestep-v15-": ("silence_latent.pt", "modeling_*.py"),
    "acestep-5Hz-lm-": ("tokenizer.json",),
    "Qwen3-Embedding-": ("tokenizer.json",),
}
_LONGEST_HEADER: Final = 100 << 20  # what the safetensors library itself accepts


def is_ready(name: str, root: Path) -> bool:
    """Whether the model or component `name` is complete under `root`. Never raises OSError."""
    from acestep_fetch.storage import receipts
    from acestep_fetch.storage.layout import Layout

    model = _owners().get(name)
    if model is None:
        return is_whole(root / name)
    receipt = receipts.read_receipt(Layout(root).receipts, model.name)
    if receipt is None or receipt.repo != str(model.repo):
        return False
    if name != model.name:
        receipt = replace(receipt, files=tuple(file for file in receipt.files if file.path.startswith(f"{name}/")))
    return bool(receipt.files) and receipts.compare(receipt, root).ready


def looks_whole(name: str, root: Path) -> bool:
    """Whether everything of `name` is there by the word of the files themselves: no truncation, but no proof either."""
    model = _owners().get(name)
    folders = model.folders if model and name == model.name else (name,)
    return all(is_whole(root / folder) for folder in folders)


def is_whole(folder: Path) -> bool:
    """A configuration, every weight file that is named at its full length, and what else a kind needs to be loaded."""
    needed = next((names for start, names in _NEEDED.items() if folder.name.startswith(start)), ())
    try:
        return (
            _is_json(folder / "config.json")
            and _has_whole_weights(folder)
            and all(any(path.stat().st_size for path in folder.glob(name)) for name in needed)
        )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # what is inside is not what it should be
        return False


@cache
def _owners() -> Mapping[str, Model]:
    """The model that brings a name: its own, or that of a component."""
    known = load_catalogue().known
    return {name: model for model in known for name in (model.name, *model.folders)}


def _has_whole_weights(folder: Path) -> bool:
    for stem in _WEIGHTS:
        for kind in ("safetensors", "bin"):
            index, single = folder / f"{stem}.{kind}.index.json", folder / f"{stem}.{kind}"
            if index.exists():
                shards = set(json.loads(index.read_bytes())["weight_map"].values())
                return bool(shards) and all(_is_whole_file(folder / shard) for shard in shards)
            if single.exists():
                return _is_whole_file(single)
    return False


def _is_whole_file(path: Path) -> bool:
    """A safetensors file says in its header where its last byte is; of other files only emptiness can be told."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if path.suffix != ".safetensors":
            return size > 0
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, size):
            return False
        header = json.loads(file.read(length))
    tensors = [value for name, value in header.items() if name != "__metadata__"]
    return size == 8 + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)


def _is_json(path: Path) -> bool:
    return isinstance(json.loads(path.read_bytes()), dict)
