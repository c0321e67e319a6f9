"""The catalogue's entries, and how a name that a user types becomes one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pkgutil import get_data
from typing import Any, Final

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import RepoId
from acestep_fetch.core.paths import fold, why_unsafe

MAIN: Final = "main"
_OWNER: Final = "ace-step"
_FAMILIES: Final = ("acestep-v15-", "acestep-5hz-lm-", "acestep-5hz-", "acestep-")  # what short forms leave out


@dataclass(frozen=True, slots=True)
class ComponentEntry:
    """A folder of a repository that becomes a folder under ``checkpoints/``."""

    name: str
    size: int = 0  # bytes, as published
    approximate: bool = False
    vram: float | None = None  # GB
    purpose: str = ""
    quality: str = ""
    speed: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """What a user asks for by name.

    `components` empty means that the whole repository becomes the folder `name`; otherwise its top-level folders
    become components (the listed ones are required) and its root files land beside them.
    """

    name: str
    repo: RepoId
    group: str = "other"
    size: int = 0
    approximate: bool = False
    announced: bool = False  # documented, but not on any hub as far as is known
    vram: float | None = None
    purpose: str = ""
    quality: str = ""
    speed: str = ""
    components: tuple[ComponentEntry, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders under ``checkpoints/`` that must exist for the model to be ready."""
        return tuple(c.name for c in self.components) or (self.name,)


@dataclass(frozen=True, slots=True)
class Tier:
    """What suits GPUs with up to `upto` GB (None: however much), beside main. `also` would work too."""

    upto: int | None
    models: tuple[str, ...]
    also: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: tuple[Model, ...]
    inside: Mapping[str, str]  # component name -> name of the model that brings it
    extras: tuple[Model, ...] = ()  # by others: known by name, but not part of everything
    tiers: tuple[Tier, ...] = ()  # the smallest GPUs first

    @property
    def known(self) -> tuple[Model, ...]:
        return (*self.models, *self.extras)

    def tier(self, gigabytes: float) -> Tier:
        """The tier of a GPU. Cards report a little less than they are sold as: the nearest whole number counts."""
        nominal = int(gigabytes + 0.5)
        return next(tier for tier in self.tiers if tier.upto is None or nominal <= tier.upto)

    def find(self, text: str) -> Model:
        """The model a user means: its name, a component of another model, a unique short form, or OWNER/NAME.

        Raises `UsageError` that names the closest match.
        """
        wanted = text.strip().lower()
        if "/" in wanted:
            return self._by_repository(text.strip())
        return self._named(wanted) or self._by_short_form(text, wanted)

    def _named(self, wanted: str) -> Model | None:
        names = {model.name.lower(): model.name for model in self.known}
        names |= {part.lower(): whole for part, whole in self.inside.items()}
        found = names.get(wanted)
        return next((model for model in self.known if model.name == found), None)

    def _by_repository(self, text: str) -> Model:
        repo = RepoId.parse(text)
        known = next((m for m in self.known if str(m.repo).lower() == text.lower()), None)
        if known is None and repo.owner.lower() == _OWNER and any(repo.name.lower() == n.lower() for n in self.inside):
            known = self._named(repo.name.lower())  # a component that has no repository of its own
        if known is None and self._folder_is_taken(repo.name):
            raise UsageError(
                f"{repo} would land in checkpoints/{repo.name}, which belongs to ACE-Step's own model",
                hint="fetch it into another folder, without the main model (--dir DIR --skip-main)",
            )
        if known is None and (reason := why_unsafe(repo.name)):
            raise UsageError(
                f"{repo} cannot become a folder here: its name {reason}",
                hint="no disk could hold that folder everywhere: choose another repository",
            )
        return known or Model(repo.name, repo)

    def _folder_is_taken(self, name: str) -> bool:
        taken = {fold(each) for model in self.known for each in (model.name, *model.folders)}
        return fold(name) in taken

    def _by_short_form(self, text: str, wanted: str) -> Model:
        names = [m.name for m in self.models] + list(self.inside)
        whole = [n for n in names if wanted and n.lower() in (f"{family}{wanted}" for family in _FAMILIES)]
        short = whole or [n for n in names if wanted and n.lower().endswith(f"-{wanted}")]
        if len(short) == 1 and (model := self._named(short[0].lower())):
            return model
        if short:
            raise UsageError(f"{text!r} is short for several models: {', '.join(short)}", hint="write one of them")
        close = get_close_matches(wanted, [n.lower() for n in names], n=1, cutoff=0.5)
        named = next((n for n in names if close and n.lower() == close[0]), None)
        hint = f"did you mean {named}? " if named else ""
        raise UsageError(
            f"there is no model called {text!r}",
            hint=f"{hint}`acestep-fetch --list` shows them all; OWNER/NAME takes any repository",
        )

    def bring(self, texts: Iterable[str]) -> tuple[Model, ...]:
        """`find` for each, in order, without repeats. Two different repositories for one folder are refused."""
        chosen: dict[str, Model] = {}
        for text in texts:
            model = self.find(text)
            held = chosen.setdefault(fold(model.name), model)
            if held.repo != model.repo:
                raise UsageError(
                    f"{held.repo} and {model.repo} would both become checkpoints/{model.name}",
                    hint="fetch one of them into another folder (--dir)",
                )
        return tuple(chosen.values())


def _model(row: Mapping[str, Any]) -> Model:
    components = tuple(ComponentEntry(**part) for part in row.get("components", ()))
    plain = {k: v for k, v in row.items() if k not in ("repo", "components", "extra")}
    return Model(repo=RepoId.parse(row["repo"]), components=components, **plain)


def _tier(row: Mapping[str, Any]) -> Tier:
    return Tier(row.get("upto"), tuple(row["models"]), tuple(row.get("also", ())), row["why"])


@cache
def load_catalogue() -> Catalogue:
    """Reads the packaged catalogue (about a millisecond)."""
    # Through the loader, so that it is found in a zip archive too; importlib.resources costs more than all of this.
    data = get_data(__package__, "catalogue.toml") or b""
    told = tomllib.loads(data.decode())
    rows = told["model"]
    return Catalogue(
        models=tuple(_model(row) for row in rows if "repo" in row and not row.get("extra")),
        inside={row["name"]: row["inside"] for row in rows if "inside" in row},
        extras=tuple(_model(row) for row in rows if row.get("extra")),
        tiers=tuple(_tier(row) for row in told["tier"]),
    )
