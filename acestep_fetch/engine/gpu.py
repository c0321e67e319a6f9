"""Which GPU this machine has, and which models suit it. The vendors' own tools are asked; no GPU library is imported.

A tool that is not there, fails, hangs or says what nobody understands is passed over, and that is told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.plain import plain_fields

DEADLINE: Final = 5.0  # seconds for a tool to answer: nvidia-smi takes one or two where the driver was not loaded
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:g|gb|gib)?", re.IGNORECASE)
_SIMULATED: Final = ("MAX_CUDA_VRAM", "MAX_MPS_VRAM")  # ACE-Step's own, in gigabytes


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    vram: int  # bytes


@dataclass(frozen=True, slots=True)
class Detection:
    """`gpu` is the one that counts, None where there is none; `how` says in words how that is known; `notes` are what
    did not work on the way."""

    gpu: Gpu | None
    gpus: tuple[Gpu, ...]
    how: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`models` begin with main: ACE-Step fetches it at its first start whatever else there is. `also` would work too.

    `why` is the rule that chose them.
    """

    models: tuple[str, ...]
    also: tuple[str, ...]
    why: str
    vram_gb: float  # 0: no GPU
    detection: Detection

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types."""
        return plain_fields(self)


def recommend(vram: str = "auto", environ: Mapping[str, str] | None = None) -> Recommendation:
    """The models for a GPU with `vram` (``12GB``), or for the one that this machine has (``auto``).

    Blocks for as long as the vendors' tools take. Raises `UsageError` for what is no amount of memory.
    """
    detection = detect(os.environ if environ is None else environ) if vram.strip().lower() == "auto" else _named(vram)
    gigabytes = detection.gpu.vram / _GIB if detection.gpu else 0.0
    tier = load_catalogue().tier(gigabytes)
    return Recommendation((MAIN, *tier.models), tier.also, tier.why, round(gigabytes, 2), detection)


def _named(text: str) -> Detection:
    gpu = Gpu(f"a GPU with {text.strip()}", _amount(text, "--for-gpu"))
    return Detection(gpu, (gpu,), "as --for-gpu says")


def _amount(text: str, whose: str) -> int:
    match = _AMOUNT.fullmatch(text.strip())
    gigabytes = float(match[1]) if match else -1.0
    if not 0 <= gigabytes <= 4096:
        raise UsageError(f"{whose}: {text!r} is not an amount of GPU memory", hint="write it as 12GB, or auto")
    return int(gigabytes * _GIB)


def detect(environ: Mapping[str, str]) -> Detection:
    """The GPU that counts: a simulated one, else the largest that ``nvidia-smi`` or ``rocm-smi`` tells of."""
    for variable in _SIMULATED:
        if text := environ.get(variable, "").strip():
            gpu = Gpu(f"simulated by {variable}", _amount(text, variable))
            return Detection(gpu if gpu.vram else None, (gpu,), f"{variable} is {text}")
    notes = list[str]()
    for tool, arguments, read in _TOOLS:
        try:
            gpus = read(_asked(tool, arguments, environ))
        except _NoAnswerError as error:
            notes += [f"{tool}: {error}"] if str(error) else []
            continue
        if gpus:
            largest = max(gpus, key=lambda gpu: gpu.vram)
            of = f", the largest of {len(gpus)}: one of them is what a model has to fit on" if len(gpus) > 1 else ""
            return Detection(largest, tuple(gpus), f"{tool} names {largest.name}{of}", tuple(notes))
        notes.append(f"{tool}: names no GPU")
    return Detection(None, (), "no GPU was found: as for the smallest", tuple(notes))


class _NoAnswerError(Exception):
    """Empty where the tool is not there, which is no news."""


def _asked(tool: str, arguments: tuple[str, ...], environ: Mapping[str, str]) -> str:
    path = shutil.which(tool, path=environ.get("PATH"))
    if path is None:
        raise _NoAnswerError
    try:
        process = subprocess.Popen(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as exc:
        raise _NoAnswerError(exc.strerror or str(exc)) from exc
    try:
        told = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        _end(process)
        raise _NoAnswerError(f"no answer in {DEADLINE:g} s") from None
    out, err = (text.decode("utf-8", "replace").strip() for text in told)
    if process.returncode:
        said = (out or err).splitlines()
        raise _NoAnswerError(f"it failed ({said[0][:120] if said else f'exit code {process.returncode}'})")
    return out


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the tool and what it started. One that waits for a GPU that is gone cannot be ended, and is left behind."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()


def read_nvidia(text: str) -> list[Gpu]:
    """``24564, NVIDIA GeForce RTX 4090``: MiB and a name, a line for each GPU. A GPU whose memory is shared with the
    CPU's says ``[N/A]``, and is left out."""
    gpus, lines = list[Gpu](), [line for line in text.splitlines() if line.strip()]
    for line in lines:
        amount, comma, name = line.partition(",")
        if comma and amount.strip().isdecimal():
            gpus.append(Gpu(name.strip(), int(amount) * _MIB))
        elif not (comma and amount.strip().startswith("[")):
            raise _NoAnswerError(f"its answer is not understood ({line.strip()[:80]})")
    return gpus


def read_rocm(text: str) -> list[Gpu]:
    """``{"card0": {"VRAM Total Memory (B)": "25753026560", "Card Series": ...}}``, perhaps with warnings around it."""
    start, stop = text.find("{"), text.rfind("}")
    try:
        cards = json.loads(text[start : stop + 1])
        rows = [(name, card) for name, card in cards.items() if isinstance(card, dict)]
        return [_card(name, {str(k).lower(): v for k, v in card.items()}) for name, card in rows if _has_vram(card)]
    except (ValueError, AttributeError, RecursionError):
        raise _NoAnswerError(f"its answer is not understood ({text[:80]!r})") from None


def _has_vram(card: Mapping[str, Any]) -> bool:
    return any(str(key).lower() == "vram total memory (b)" for key in card)


def _card(name: str, card: Mapping[str, Any]) -> Gpu:
    return Gpu(str(card.get("card series") or card.get("card model") or name), int(card["vram total memory (b)"]))


_TOOLS: Final[tuple[tuple[str, tuple[str, ...], Callable[[str], list[Gpu]]], ...]] = (
    ("nvidia-smi", ("--query-gpu=memory.total,name", "--format=csv,noheader,nounits"), read_nvidia),
    ("rocm-smi", ("--showmeminfo", "vram", "--showproductname", "--json"), read_rocm),
)
