"""Is a folder that nobody vouches for whole? Answered by its own files: their names, lengths and headers.

No proof: bytes may be wrong. But what is said to be missing here dies when ACE-Step loads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from acestep_fetch.storage import platform

STEMS: Final = ("model", "diffusion_pytorch_model", "pytorch_model")
KINDS: Final = ("safetensors", "bin")

_NEEDED: Final = {
    "acestep-v15-": ("silence_latent.pt", "modeling_*.py"),
    "acestep-5Hz-lm-": ("tokenizer.json",),
    "Qwen3-Embedding-": ("tokenizer.json",),
}
_LONGEST_HEADER: Final = 100 << 20  # what the safetensors library itself accepts
_FEW: Final = 3


def faults(folder: Path) -> tuple[str, ...]:
    """What `folder` lacks to be loaded, for people; empty where it is whole as far as its files tell. Never raises
    OSError."""
    needed = next((names for start, names in _NEEDED.items() if folder.name.startswith(start)), ())
    return (
        *_of_json(folder / "config.json"),
        *_of_weights(folder),
        *(fault for name in needed for fault in _of_needed(folder, name)),
    )


def _of_json(path: Path) -> Iterator[str]:
    try:
        if not isinstance(json.loads(platform.read_whole(path)), dict):
            yield f"{path.name} is not what it should be"
    except FileNotFoundError:
        yield f"{path.name} is missing"
    except OSError as exc:
        yield f"{path.name} cannot be read: {exc.strerror or exc}"
    except (ValueError, RecursionError):
        yield f"{path.name} is no JSON"


def _of_needed(folder: Path, pattern: str) -> Iterator[str]:
    try:
        sizes = [path.stat().st_size for path in folder.glob(pattern)]
    except OSError as exc:
        yield f"{pattern} cannot be read: {exc.strerror or exc}"
        return
    if not any(sizes):
        yield f"{pattern} is {'empty' if sizes else 'missing'}"


def _of_weights(folder: Path) -> Iterator[str]:
    for stem in STEMS:
        for kind in KINDS:
            index, single = folder / f"{stem}.{kind}.index.json", folder / f"{stem}.{kind}"
            if index.exists():
                yield from _of_shards(index)
                return
            if single.exists():
                yield from _of_a_weight(single)
                return
    yield "diffusion_pytorch_model.safetensors is missing" if folder.name == "vae" else "model.safetensors is missing"


def _of_shards(index: Path) -> Iterator[str]:
    try:
        shards = sorted(set(json.loads(platform.read_whole(index))["weight_map"].values()))
        missing = [shard for shard in shards if not (index.parent / shard).exists()]
    except OSError as exc:
        yield f"{index.name} cannot be read: {exc.strerror or exc}"
        return
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        shards, missing = [], []
    if not shards:
        yield f"{index.name} names no files"
    if missing:
        names = ", ".join(missing[:_FEW]) + (", ..." if len(missing) > _FEW else "")
        yield f"{len(missing)} of the {len(shards)} files that {index.name} names are missing: {names}"
    for shard in shards:
        if shard not in missing:
            yield from _of_a_weight(index.parent / shard)


def _of_a_weight(path: Path) -> Iterator[str]:
    if path.with_name(f"{path.name}.aria2").exists():
        yield f"{path.name} is unfinished: aria2 has left its notes beside it"
        return
    try:
        size, told = _lengths(path)
    except OSError as exc:
        yield f"{path.name} cannot be read: {exc.strerror or exc}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        yield f"{path.name} is not what its name says: it has no header"
    else:
        if not size:
            yield f"{path.name} is empty"
        elif told is not None and size != told:
            yield f"{path.name} has {size} bytes, and {told} by its own header"


def _lengths(path: Path) -> tuple[int, int | None]:
    """How long the file is, and how long it should be: a safetensors file says in its header where its last byte is;
    of other files nobody knows."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if path.suffix != ".safetensors" or not size:
            return size, None
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LONGEST_HEADER:
            raise ValueError("no header")
        if length > size:
            return size, 8 + length
        header = json.loads(file.read(length))
    tensors = [value for name, value in header.items() if name != "__metadata__"]
    return size, 8 + length + max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
