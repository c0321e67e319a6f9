"""``--include`` and ``--exclude``, with the meaning that ``hf download`` gives to patterns."""

from __future__ import annotations

from collections.abc import Iterable


def select(paths: Iterable[str], include: Iterable[str] = (), exclude: Iterable[str] = ()) -> list[str]:
    """The `paths` that match any of `include` (all of them if it is empty) and none of `exclude`, in order.

    Each pattern may be several, separated by commas. `*` crosses "/", a trailing "/" means all below, upper and
    lower case differ: `huggingface_hub.utils.filter_repo_objects`, imported only where there is a pattern.
    """
    wanted, unwanted = _split(include), _split(exclude)
    if not wanted and not unwanted:
        return list(paths)
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # documented, though not listed

    return list(filter_repo_objects(paths, allow_patterns=wanted or None, ignore_patterns=unwanted or None))


def _split(patterns: Iterable[str]) -> list[str]:
    given = [patterns] if isinstance(patterns, str) else patterns
    return [part for text in given for piece in text.split(",") if (part := piece.strip())]
