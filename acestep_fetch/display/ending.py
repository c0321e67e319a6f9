"""The last lines of a run: what is ready, what it took, what is kept, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from acestep_fetch.core.errors import PartialError
from acestep_fetch.core.events import ModelFailed, ModelReady, RunFinished
from acestep_fetch.display import units
from acestep_fetch.display.glyphs import Glyphs
from acestep_fetch.display.names import title

Said = tuple[Literal["good", "bad", "hint", "stop", "info", "row"], str]


def ending(
    end: RunFinished, ready: Sequence[ModelReady], failed: Sequence[ModelFailed], asked: int, glyphs: Glyphs
) -> list[Said]:
    """The final lines. Models that were up to date, and models that failed, have been told by now."""
    if end.exit_code > 128:
        kept = _kept(end, ready)
        return [("stop", f"Stopped. {f'{units.size(kept)} kept; r' if kept else 'R'}un the same command to continue.")]
    if end.exit_code:
        return _failure(end, ready, failed, glyphs)
    fetched = [model.model for model in ready if model.fetched]
    if not fetched:
        return []
    names = fetched[0] if len(fetched) == 1 and asked <= 1 else units.plural(len(fetched), "model")
    return [("good", f"{names} ready in {units.duration(end.seconds)}{_numbers(end, ready, glyphs)}")]


def tried(attempts: Sequence[str]) -> list[Said]:
    """What led to a failure, a line each."""
    return [("info", f"  tried: {attempt}") for attempt in attempts]


def _kept(end: RunFinished, ready: Sequence[ModelReady]) -> int:
    """Bytes of what is not ready: what models had that needed nothing is no news."""
    of_use = end.bytes_fetched - end.bytes_compared - end.bytes_dropped + end.bytes_reused
    return max(0, of_use - sum(model.size for model in ready if not model.fetched))


def _failure(
    end: RunFinished, ready: Sequence[ModelReady], failed: Sequence[ModelFailed], glyphs: Glyphs
) -> list[Said]:
    lines = list[Said]()
    told = end.exit_code == PartialError.exit_code or any(end.error == model.message for model in failed)
    if end.error and not (failed and told):
        lines.append(("bad", end.error))
        if all(end.attempts != model.attempts for model in failed):  # or it was told with its model
            lines += tried(end.attempts)
    elif not end.error and not failed:
        lines.append(("bad", f"failed with exit code {end.exit_code}"))
    if end.hint and all(end.hint != model.hint for model in failed):
        lines.append(("hint", end.hint))
    if ready and failed:
        lines += _table(end, failed)
    if ready:
        of = units.plural(len(end.models), "model")
        took = units.duration(end.seconds)
        lines.append(("info", f"{len(ready)} of {of} ready in {took}{_numbers(end, ready, glyphs)}"))
    elif kept := _kept(end, ready):
        lines.append(("info", f"{units.size(kept)} kept for the next run"))
    return lines


def _table(end: RunFinished, failed: Sequence[ModelFailed]) -> list[Said]:
    """A line for each model: its name, what became of it, and why, where that was told of more than one."""
    why = {model.model: model.message for model in failed if len(failed) > 1}
    width = max(map(len, end.models))
    rows = (f"{name:<{width}}  {state:<6}  {why.get(name, '')}".rstrip() for name, state in end.models.items())
    return [("row", row) for row in rows]


def _numbers(end: RunFinished, ready: Sequence[ModelReady], glyphs: Glyphs) -> str:
    """`` · 28 files verified · 4.1 GB fetched, 6.0 GB reused · Hugging Face 71 %, ModelScope 29 %``

    Models that were up to date were not read now, and have been told with their own figures.
    """
    idle = [model for model in ready if not model.fetched]
    count = end.files_verified + end.files_reused - sum(model.files for model in idle)
    kept = end.bytes_reused - sum(model.size for model in idle)
    reused = f", {units.size(kept)} reused" if kept > 0 else ""
    shares = units.percentages(end.by_source)
    whom = ", ".join(
        f"{title(source)} {share} %" for source, share in sorted(shares.items(), key=lambda item: -item[1])
    )
    parts = [f"{units.plural(count, 'file')} verified"] if count > 0 else []
    if count > 0 or end.bytes_fetched:
        parts.append(f"{units.size(end.bytes_fetched)} fetched{reused}")
    if len(shares) == 1:
        whom = f"all from {title(next(iter(shares)))}"
    return "".join(f" {glyphs.dot} {part}" for part in [*parts, *([whom] if whom else [])])
