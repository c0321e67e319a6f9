"""ACE-Step's own Python files in its checkpoints: it overwrites the hub's with those that it was installed with.

Both are run with ``trust_remote_code``, and a difference is no damage: see ``storage.receipts.may_drift``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SHARING: Final = {
    "turbo": (
        "turbo",
        "turbo-shift1",
        "turbo-shift3",
        "turbo-continuous",
        "turbo-rl",
        "turbo-fix-inst-shift3",
        "turbo-fix-inst-shift-continuous",
        "turbo-fix-inst-shift-dynamic",
    ),
    "base": ("base",),
    "sft": ("sft", "base-sft-fix-inst"),
    "xl_turbo": ("xl-turbo",),
    "xl_base": ("xl-base",),
    "xl_sft": ("xl-sft",),
}
VARIANTS: Final = {f"acestep-v15-{name}": variant for variant, names in _SHARING.items() for name in names}


def mismatched(name: str, root: Path) -> list[str]:
    """The files of the installed ACE-Step that the checkpoint lacks or has in another version."""
    return [path.name for path in _sources(name) if not _same(path, root / name / path.name)]


def synchronise(name: str, root: Path) -> list[str]:
    """Gives the checkpoint the installed ACE-Step's files, and returns their names. Raises OSError.

    A reader sees a file's old or its new content, never a part of it.
    """
    from acestep_fetch.storage.receipts import write_atomically

    target = root / name
    if not target.is_dir():
        import logging

        logging.getLogger(__name__).warning("%s is not there, so its code was not updated", target)
        return []
    sources = list(_sources(name))
    for path in sources:
        if not _same(path, target / path.name):
            write_atomically(target / path.name, path.read_bytes())
    return [path.name for path in sources]


def _sources(name: str) -> Iterator[Path]:
    variant = VARIANTS.get(name)
    for package in _packages() if variant else ():
        folder = package / "models" / str(variant)
        if folder.is_dir():
            yield from sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
            return


def _packages() -> list[Path]:
    """Where ACE-Step is installed, which does not import it."""
    try:
        spec = importlib.util.find_spec("acestep")
    except (ImportError, ValueError):  # a stand-in without a spec
        return []
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except FileNotFoundError:
        return False
