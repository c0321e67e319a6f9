"""Deterministic repositories with the real names and proportions (facts/users.md 1.4), made up in milliseconds.

Content follows from a name alone, so what is identical on the real hubs is identical here.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from acestep_fetch.core.model import HubName
from acestep_fetch.storage.receipts import ReceiptFile

OWNER: Final = "ACE-Step"
MAIN: Final = "Ace-Step1.5"
SCALED_FROM: Final = 1_000_000  # bytes; smaller files keep their size
IGNORED: Final = frozenset({".acestep-fetch", ".cache", ".msc", ".mdl", ".mv", "._____temp"})
_BLOCK: Final = 1 << 20

File = tuple[int, str]  # size, and the key that its content follows from

_SILENCE: Final[dict[str, File]] = {"silence_latent.pt": (3_841_215, "silence_latent")}

_LM_TOKENIZER: Final[dict[str, File]] = {
    "added_tokens.json": (3_423_245, "lm/added_tokens"),
    "chat_template.jinja": (4_168, "lm/chat_template"),
    "merges.txt": (1_671_853, "lm/merges"),
    "special_tokens_map.json": (616_220, "lm/special_tokens_map"),
    "tokenizer.json": (24_321_939, "lm/tokenizer"),
    "tokenizer_config.json": (14_072_925, "lm/tokenizer_config"),
    "vocab.json": (2_776_833, "lm/vocab"),
}

_TURBO: Final[dict[str, File]] = {
    "config.json": (1_968, "turbo/config"),
    "configuration_acestep_v15.py": (13_130, "configuration"),
    "modeling_acestep_v15_turbo.py": (96_036, "turbo/modeling"),
    "model.safetensors": (4_787_825_604, "turbo/model"),
    **_SILENCE,
}

_MAIN_PARTS: Final[dict[str, dict[str, File]]] = {
    "acestep-v15-turbo": _TURBO,
    "acestep-5Hz-lm-1.7B": {
        "config.json": (1_413, "lm-1.7B/config"),
        "model.safetensors": (3_708_521_528, "lm-1.7B/model"),
        **_LM_TOKENIZER,
    },
    "Qwen3-Embedding-0.6B": {
        "added_tokens.json": (707, "qwen/added_tokens"),
        "chat_template.jinja": (4_116, "qwen/chat_template"),
        "config.json": (1_393, "qwen/config"),
        "merges.txt": (1_671_853, "qwen/merges"),
        "model.safetensors": (1_191_586_416, "qwen/model"),
        "special_tokens_map.json": (616, "qwen/special_tokens_map"),
        "tokenizer.json": (11_423_705, "qwen/tokenizer"),
        "tokenizer_config.json": (9_706, "qwen/tokenizer_config"),
        "vocab.json": (2_776_833, "qwen/vocab"),
    },
    "vae": {
        "config.json": (425, "vae/config"),
        "diffusion_pytorch_model.safetensors": (337_431_388, "vae/model"),
    },
}


def _sharded(key: str, shards: Iterable[int]) -> dict[str, File]:
    sizes = list(shards)
    names = {
        f"model-{n:05}-of-{len(sizes):05}.safetensors": (size, f"{key}/shard{n}") for n, size in enumerate(sizes, 1)
    }
    return {**names, "model.safetensors.index.json": (51_876, f"{key}/index")}


def _dit(
    variant: str, code: str, weights: Mapping[str, File], latent: Mapping[str, File] = _SILENCE
) -> dict[str, File]:
    return {
        "config.json": (1_968, f"{variant}/config"),
        "configuration_acestep_v15.py": (13_130, "configuration"),
        f"modeling_acestep_v15_{code}.py": (96_036, f"{code}/modeling"),
        **weights,
        **latent,
    }


def _one(key: str) -> dict[str, File]:
    return {"model.safetensors": (4_787_825_604, f"{key}/model")}


_GUIDANCE: Final[dict[str, File]] = {"apg_guidance.py": (7_122, "apg_guidance")}
_XL_SILENCE: Final[dict[str, File]] = {"silence_latent.pt": (3_841_215, "xl/silence_latent")}
_XL: Final = (4_987_000_000, 4_987_000_000, 4_987_000_000, 4_987_000_000)

MODELS: Final[dict[str, dict[str, File]]] = {
    MAIN: {
        "config.json": (122, "main/config"),
        **{f"{part}/{name}": file for part, files in _MAIN_PARTS.items() for name, file in files.items()},
    },
    "acestep-5Hz-lm-0.6B": {
        "config.json": (1_412, "lm-0.6B/config"),
        "model.safetensors": (1_325_804_024, "lm-0.6B/model"),
        **_LM_TOKENIZER,
    },
    "acestep-5Hz-lm-4B": {
        "config.json": (1_530, "lm-4B/config"),
        **_sharded("lm-4B", (4_967_215_360, 3_413_011_000)),
        **{name: (size, f"{key}/4B") for name, (size, key) in _LM_TOKENIZER.items()},
    },
    "acestep-v15-base": {**_dit("base", "base", _one("base")), **_GUIDANCE},
    "acestep-v15-sft": {**_dit("sft", "base", _one("sft")), **_GUIDANCE},
    **{
        f"acestep-v15-turbo-{variant}": _dit(variant, "turbo", _one(variant))
        for variant in ("shift1", "shift3", "continuous")
    },
    **{
        f"acestep-v15-xl-{variant}": _dit(f"xl-{variant}", f"xl_{variant}", _sharded(f"xl-{variant}", _XL), _XL_SILENCE)
        for variant in ("turbo", "sft", "base")
    },
}


def make_catalogue(root: Path, *, scale: float, hub: HubName, models: Iterable[str] | None = None) -> None:
    """Writes ``root/ACE-Step/NAME/...`` as `hub` would hold it, all eleven repositories or those named in `models`.

    `models` takes the keys of `MODELS` or ``main``. Files above 1 MB are scaled by `scale`.
    """
    names = MODELS.keys() if models is None else [MAIN if name == "main" else name for name in models]
    for name in names:
        for path, blocks in _content(name, scale, hub).items():
            _write(root / OWNER / name / path, blocks)


def make_repo(root: Path, repo: str, files: Mapping[str, bytes | int]) -> Path:
    """Writes ``root/OWNER/NAME`` with `files`, given as content or as a size, and returns that folder."""
    for path, content in files.items():
        blocks = _random_blocks(f"{repo}/{path}", content) if isinstance(content, int) else [content]
        _write(root / repo / path, blocks)
    return root / repo


def tree_digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file below `folder`, by path, without what downloaders keep for themselves."""
    found = dict[str, str]()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and IGNORED.isdisjoint(inside.parts):
            with path.open("rb") as file:
                found[inside.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def content_of(name: str, size: int) -> bytes:
    """`size` bytes that follow from `name`."""
    return b"".join(_random_blocks(name, size))


def _content(name: str, scale: float, hub: HubName) -> dict[str, Iterable[bytes]]:
    files = {path: _made_up(path, *_scaled(file, scale)) for path, file in MODELS[name].items()}
    readme = f"# {name}\n\nAs {hub.title} shows it.\n".encode()
    files["README.md"] = [readme, _text(f"readme/{hub}/{name}", 2_400)]
    files[".gitattributes"] = [f"*.safetensors filter=lfs # {hub}\n".encode(), _text(f"attributes/{hub}", 1_400)]
    if hub is HubName.MODELSCOPE:
        files["configuration.json"] = [b'{"framework": "pytorch", "task": "text-to-audio"}\n']
    return files


def _write(target: Path, blocks: Iterable[bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.writelines(blocks)


def _scaled(file: File, scale: float) -> tuple[int, str]:
    size, key = file
    return (max(1, round(size * scale)) if size > SCALED_FROM else size), key


def _made_up(path: str, size: int, key: str) -> Iterable[bytes]:
    if path.endswith(".json"):
        return [_json(key, size)]
    if path.endswith((".py", ".txt", ".jinja")):
        return [_text(key, size)]
    return _random_blocks(key, size)


def _json(key: str, size: int) -> bytes:
    frame = json.dumps({"made_up": key, "filler": ""})
    room = size - len(frame)
    if room < 0:
        return b"[" + b" " * (size - 2) + b"]" if size > 1 else b"0"[:size]
    return f"{frame[:-2]}{_text(key, room).decode().replace(chr(10), '-')}{frame[-2:]}".encode()


def _text(key: str, size: int) -> bytes:
    """Lines of 80 hex digits."""
    digits = content_of(key, size // 2 + 1).hex()
    return "\n".join(digits[at : at + 80] for at in range(0, size, 80))[:size].encode()


def _random_blocks(name: str, size: int) -> Iterable[bytes]:
    """Blocks of 1 MiB: one random block for each name, the number of the block at its start."""
    block = random.Random(name).randbytes(min(size, _BLOCK))
    for number, at in enumerate(range(0, size, _BLOCK)):
        head = number.to_bytes(8, "big") if number else b""
        yield (head + block[len(head) :])[: min(_BLOCK, size - at)]


def received(root: Path, path: str) -> ReceiptFile:
    """The row of a receipt for a file that is made at `path` below `root`."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    return ReceiptFile(path, path, 1, file.stat().st_mtime_ns, hashlib.sha256(b"x").hexdigest())
