"""`install` puts the drop-in where ACE-Step's code looks for its downloader.

ACE-Step's module keeps existing, with whatever other names a fork has given it: when it is imported, ours take the
place of the names that they stand for. Where it was imported before, they take it at once, and in those modules of
ACE-Step that hold one of the old ones. Where there is no such module, a module that has nothing else is given; and
where there is no ACE-Step at all, an empty package to hold it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, Final

PACKAGE: Final = "acestep"
DOWNLOADER: Final = "acestep.model_downloader"
# The API server has an implementation of its own, in one place or the other.
_SECOND: Final = {
    "acestep.api.model_download": "ensure_model_downloaded",
    "acestep.api_server": "_ensure_model_downloaded",
}
_NAMES: Final = (
    "DEFAULT_LM_MODEL",
    "DEFAULT_VAE_VARIANT",
    "MAIN_MODEL_COMPONENTS",
    "MAIN_MODEL_REPO",
    "SUBMODEL_REGISTRY",
    "VAE_REGISTRY",
    "_CHECKPOINT_TO_VARIANT",
    "_check_code_mismatch",
    "_sync_model_code_files",
    "check_main_model_exists",
    "check_model_exists",
    "check_vae_exists",
    "download_all_models",
    "download_main_model",
    "download_submodel",
    "download_vae",
    "ensure_dit_model",
    "ensure_lm_model",
    "ensure_main_model",
    "ensure_model_downloaded",
    "ensure_vae_model",
    "get_checkpoints_dir",
    "get_project_root",
    "list_available_models",
    "list_available_vae_variants",
    "main",
    "print_model_list",
    "resolve_vae_path",
)
_MISSING: Final = object()
_NOWHERE: Final = "stands in for an ACE-Step that is not installed"
_Replaced = tuple[ModuleType, str, Any]
_Taken = dict[int, dict[str, Any]]  # identity of an old value -> its names -> ours


def install() -> None:
    """From here on, ``acestep.model_downloader`` is this package's. Calling it again changes nothing."""
    global _current
    if _current is None:
        _current = _Installation()


def uninstall() -> None:
    """Undoes `install`: old names come back, and what stood in for ACE-Step is gone. For tests."""
    global _current
    if _current is not None:
        _current.undo()
        _current = None


class _Installation:
    """What was put where, so that it can be undone."""

    def __init__(self) -> None:
        self._replaced = list[_Replaced]()
        self._finders = (_Finder(self), _LastFinder())
        sys.meta_path.insert(0, self._finders[0])
        sys.meta_path.append(self._finders[1])
        for name in (DOWNLOADER, *_SECOND):
            if isinstance(module := sys.modules.get(name), ModuleType):
                self._take_over(self.overlay(module))

    def overlay(self, module: ModuleType) -> _Taken:
        """Gives the module our names. Returns whose place they took."""
        taken: _Taken = {}
        for name, ours in _ours(module).items():
            old = getattr(module, name, _MISSING)
            if isinstance(old, FunctionType | dict | list):
                taken.setdefault(id(old), {})[name] = ours
            self._set(module, name, ours, old)
        return taken

    def _take_over(self, taken: _Taken) -> None:
        """``from acestep.model_downloader import ...`` was run before us in other modules of ACE-Step."""
        for name, module in list(sys.modules.items()):
            if name.startswith(f"{PACKAGE}.") and isinstance(module, ModuleType):
                for attribute, value in list(vars(module).items()):
                    if by_name := taken.get(id(value)):
                        self._set(module, attribute, by_name.get(attribute, next(iter(by_name.values()))), value)

    def _set(self, module: ModuleType, name: str, ours: Any, old: Any) -> None:
        self._replaced.append((module, name, old))
        setattr(module, name, ours)

    def undo(self) -> None:
        for finder in self._finders:
            sys.meta_path.remove(finder)
        for module, name, old in reversed(self._replaced):
            if old is not _MISSING:
                setattr(module, name, old)
            elif hasattr(module, name):
                delattr(module, name)
        for name in (DOWNLOADER, PACKAGE):
            spec = getattr(sys.modules.get(name), "__spec__", None)
            if spec is not None and spec.origin == _NOWHERE:
                del sys.modules[name]
                if parent := sys.modules.get(name.rpartition(".")[0]):
                    delattr(parent, name.rpartition(".")[2])


def _ours(module: ModuleType) -> Mapping[str, Any]:
    """What the module's names are to be."""
    from acestep_fetch.compat import model_downloader

    if (name := _SECOND.get(module.__name__)) is None:
        return {name: getattr(model_downloader, name) for name in _NAMES}
    return {name: model_downloader.ensure_model_downloaded} if hasattr(module, name) else {}


class _Finder:
    """Finds what would be found anyway, with ours laid over it."""

    def __init__(self, installation: _Installation) -> None:
        self._installation = installation

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != DOWNLOADER and fullname not in _SECOND:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next((s for finder in others if (s := finder.find_spec(fullname, path, target))), None)
        if spec is None and fullname == DOWNLOADER:
            spec = _stand_in(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = _Overlay(spec.loader, self._installation)
            spec.loader = loader
        return spec


class _LastFinder:
    """An empty package, where nobody else finds ACE-Step."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return _stand_in(fullname, is_package=True) if fullname == PACKAGE else None


def _stand_in(fullname: str, *, is_package: bool = False) -> ModuleSpec:
    loader: Any = _Nothing()  # has what a loader must have, and importlib.abc would cost milliseconds
    return ModuleSpec(fullname, loader, origin=_NOWHERE, is_package=is_package)


class _Nothing:
    """Loads a module without content."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Overlay:
    """Another loader, and our names after it. For the rest (sources, resources) it is that loader."""

    def __init__(self, inner: Any, installation: _Installation) -> None:
        self._inner, self._installation = inner, installation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        self._installation.overlay(module)


_current: _Installation | None = None
