"""What a caller of the Python API may say, and the `Options` that it makes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypedDict

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import UsageError
from acestep_fetch.options import Options, expanded, parse_count, parse_size, parse_source
from acestep_fetch.storage.layout import Layout, choose_folder

Folder = str | os.PathLike[str]
Models = str | Iterable[str]  # the name of one, or a list of names


class Settings(TypedDict, total=False):
    """Keywords of `fetch`, `plan`, `ensure` and `AsyncClient`. None, or an empty text, leaves it to the environment,
    and that to the default."""

    dir: Folder | None  # the checkpoints folder; default ./checkpoints
    all_models: bool  # every model of the catalogue
    include: str | Sequence[str]  # only files that match one of these patterns,
    exclude: str | Sequence[str]  # and none that matches one of these
    revision: str | None  # a branch, tag or commit
    force: bool  # fetch again what is there
    lock: Folder | None  # a lock's file: nothing but what that says
    offline: bool  # open no socket: what is not ready is an error
    adopt: Folder | Sequence[Folder]  # other folders of this machine that may hold what is wanted
    prefer_source: str | None  # "huggingface", "modelscope" or "auto"
    only_source: str | None  # ask this one and no other
    huggingface_endpoint: str | None  # a mirror, or your own hub, in place of Hugging Face
    modelscope_endpoint: str | None  # the same of ModelScope
    token: str | None  # Hugging Face's; default: as its own tools find it
    modelscope_token: str | None  # the same of ModelScope
    ca_bundle: Folder | None  # believe the certificates in this file (PEM), and no others
    proxy: str | None  # ask everything through this one; default: as the environment and the system say
    no_proxy: str | None  # hosts that are asked directly, with commas between them
    connections: int | None  # at most, to one hub
    jobs: int | None  # at most so many files at once
    limit_rate: str | int | None  # bytes a second, all together: "80MB/s", or 80_000_000
    min_free: str | int | None  # fetch nothing where fewer bytes than this would be left free on the disk
    give_up_after: float | None  # seconds without a byte from anywhere, after which the run fails
    connect_timeout: float | None  # seconds for a connection to come about
    stall_timeout: float | None  # seconds of silence, while others move, after which a connection is replaced
    lease_wait: float | None  # seconds to wait for another process that downloads into the folder


_RENAMED: Final = {"dir": "directory", "prefer_source": "prefer", "only_source": "only"}  # fields of `Options`
_KEYWORDS: Final = frozenset(Settings.__annotations__)


def names_of(models: Iterable[Models]) -> tuple[str, ...]:
    """The names, one by one. Raises `UsageError` for what is none, and for a list without any: that is not everything,
    and not main either."""
    names, said = list[object](), list[object](models)  # whatever an untyped caller says
    for each in said:
        inside = list(each) if isinstance(each, Iterable) and not isinstance(each, str) else [each]
        if not inside:
            raise UsageError("the list of models is empty", hint="leave it out for the main model, or name some in it")
        names += inside
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise UsageError(f"{wrong[0]!r} is no name of a model", hint='name models as "main", "0.6B" or "OWNER/NAME"')
    return tuple(map(str, names))


def options_for(models: Iterable[Models], base: Options | None, settings: Settings) -> Options:
    """The options that ask for `models` and nothing else; where none is named, for those of `base`, else for main.

    Raises `UsageError` for an unknown name or a wrong value, and TypeError for an unknown keyword.
    """
    models = names_of(models)
    if unknown := settings.keys() - _KEYWORDS:
        raise TypeError(f"there is no setting {min(unknown)!r}; there are: {', '.join(sorted(_KEYWORDS))}")
    said = {name: value for name, value in settings.items() if value not in (None, "")}
    given = {_RENAMED.get(name, name): _parsed(name, value) for name, value in said.items()}
    if models:
        wants_main = any(model.name == MAIN for model in load_catalogue().bring(models))
        given |= {"models": models, "skip_main": not wants_main and not given.get("all_models")}
    return replace(base or Options.from_environment(), **given)


def layout_of(folder: Folder | None) -> Layout:
    """The checkpoints folder that `folder`, or the environment, names."""
    return Layout(choose_folder(options_for((), None, {"dir": folder}).directory)[0])


def _parsed(name: str, value: Any) -> Any:
    match name:
        case "dir" | "ca_bundle" | "lock":
            return expanded(os.fspath(value))
        case "adopt":
            folders = (value,) if isinstance(value, str | os.PathLike) else value
            return tuple(expanded(os.fspath(folder)) for folder in folders)
        case "include" | "exclude":
            return (value,) if isinstance(value, str) else tuple(value)
        case "min_free" if value == 0:
            return 0
        case "limit_rate" | "min_free":
            return parse_size(str(value))
        case "connections" | "jobs":
            return parse_count(str(value))
        case "prefer_source" | "only_source":
            return parse_source(value)
        case _:
            return value
