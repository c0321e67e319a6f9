"""The layers in which a setting is looked for, and what the highest one that knows it says.

A layer is a table of texts by name, and which names a setting has in it. Nothing here reads a file, and nothing writes
into ``os.environ``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acestep_fetch.configuration.settings import Folder, Kind, Setting, Variable
from acestep_fetch.configuration.values import parse_count, parse_seconds, parse_size, parse_wait
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.secrecy import Secret

_OF_THE_FOLDER: Final = ("dotenv", "project")
# An empty flag is a script's unset variable, and means the default. For these it cannot have been meant.
_NUMBERS: Final = (parse_count, parse_seconds, parse_size, parse_wait)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who said it: `kind` is flag, variable, dotenv, project, user or system."""

    kind: str
    name: str  # as it is written there
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.name
        return f"{self.file}:{self.line}: {self.name}" if self.line else f"{self.file}: {self.name}"


@dataclass(frozen=True, slots=True)
class Said:
    """A setting's value by the word of one layer; None where somebody else reads that variable. `leads_out`: it is a
    path out of the folder of the file that says it."""

    value: object = field(repr=False)
    text: str = field(repr=False)
    origin: Origin
    leads_out: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written under a name, and where. A list has several texts."""

    texts: tuple[str, ...] = field(repr=False)
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    kind: str
    entries: Mapping[str, Entry]
    names: Callable[[Setting], Iterable[Variable]]
    file: Path | None = None  # as messages name it
    folder: Path = Path()  # where paths in it begin
    lists_have_commas: bool = False  # where a name can have one text only

    def find(self, setting: Setting) -> Said | None:
        """What it says of `setting`. Raises `UsageError` that names the place."""
        for variable in self.names(setting):
            if entry := self.entries.get(variable.name):
                origin = Origin(self.kind, variable.name, self.file, entry.line)
                try:
                    value = self._value(setting, variable.parse or setting.parse, entry.texts)
                except UsageError as error:
                    raise UsageError(f"{origin}: {error.message}", hint=error.hint) from None
                text = ",".join(entry.texts)
                return Said(value, Secret(text) if setting.is_secret else text, origin, self._leads_out(value))
        return None

    def _leads_out(self, value: object) -> bool:
        """By its letters: a link in the folder is there for whoever put it there, with or without this."""
        if self.file is None or not isinstance(value, Path):
            return False
        return not Path(os.path.normpath(value)).is_relative_to(os.path.normpath(self.folder))

    def _value(self, setting: Setting, parse: Callable[[str], object], texts: Sequence[str]) -> object:
        if setting.kind is Kind.MANY:
            if self.lists_have_commas:
                texts = [part for text in texts for part in text.split(",") if part.strip()]
            return tuple(self._placed(value) for text in texts for value in _several(parse(text.strip())))
        if len(texts) != 1:
            raise UsageError("one value is expected, and not a list", hint="write it once")
        return self._placed(parse(texts[0]))

    def _placed(self, value: object) -> object:
        return self.folder / value if isinstance(value, Path) else value


def resolve(settings: Iterable[Setting], layers: Iterable[Layer]) -> dict[str, Said]:
    """By key, what the highest layer says that knows the setting, or another one of its group."""
    settings = tuple(settings)
    found, closed = dict[str, Said](), set[str]()
    for layer in layers:
        told = {
            setting.key: said
            for setting in settings
            if setting.key not in found and setting.group not in closed and (said := layer.find(setting))
        }
        found |= told
        closed |= {setting.group for setting in settings if setting.group and setting.key in told}
    _check_folder(found)
    return found


def _check_folder(found: Mapping[str, Said]) -> None:
    """Raises `UsageError` where files that may be somebody else's would have what they choose written somewhere else.
    ACE-Step documents an absolute folder in ``.env``, which nobody publishes: into that one go only models that are
    known here by name."""
    folder = found.get("dir")
    if folder is None or not folder.leads_out or folder.origin.kind not in _OF_THE_FOLDER:
        return
    if folder.origin.kind == "project":
        raise UsageError(
            f"{folder.origin}: {folder.text} is outside of this folder, whose files may be somebody else's",
            hint="use --dir, ACESTEP_FETCH_DIR or a configuration file of your own: `acestep-fetch config path` "
            "names it",
        )
    for key in ("model", "lock", "locked"):
        said = found.get(key)
        if said and said.value and said.origin.kind in _OF_THE_FOLDER and (key != "model" or "/" in said.text):
            raise UsageError(
                f"{said.origin}: {said.text} would be put into {folder.text} ({folder.origin}), outside of this "
                "folder, whose files may be somebody else's",
                hint=f"say one of the two yourself: --{key} or --dir",
            )


# -- the layers -----------------------------------------------------------------------------------------------------


def flags(given: Mapping[str, object], settings: Iterable[Setting]) -> Layer:
    """What argparse made of the command line: texts, lists of texts, and True or False; None is not given."""
    entries = dict[str, Entry]()
    for setting in settings:
        value = given.get(setting.dest)
        texts = _texts(value)
        if texts and (any(texts) or setting.parse in _NUMBERS):
            entries[f"--{setting.key}"] = Entry(texts)
    return Layer("flag", entries, lambda setting: [Variable(f"--{setting.key}")])


def variables(environ: Mapping[str, str]) -> list[Layer]:
    """Our own, and below them ACE-Step's and the hubs'."""
    entries = {name: Entry((text.strip(),)) for name, text in environ.items() if text.strip()}
    return [Layer("variable", entries, names, lists_have_commas=True) for names in (_ours, _theirs)]


def dotenv(file: Path, folder: Path, written: Mapping[str, Entry]) -> list[Layer]:
    """The same names in ``.env``, where those that are read elsewhere are not seen by whoever reads them."""
    return [Layer("dotenv", written, names, file, folder, lists_have_commas=True) for names in (_ours, _theirs_here)]


def keys(kind: str, file: Path, folder: Path, entries: Mapping[str, Entry]) -> Layer:
    """A file of keys."""
    return Layer(kind, entries, lambda setting: [Variable(setting.key)], file, folder)


def _ours(setting: Setting) -> Iterable[Variable]:
    return map(Variable, setting.variables)


def _theirs(setting: Setting) -> Iterable[Variable]:
    return (*setting.foreign, *(Variable(name, _left_to_others) for name in setting.outside))


def _theirs_here(setting: Setting) -> Iterable[Variable]:
    """Of other programs' names only those that may be said in a folder: HF_ENDPOINT there is for other programs."""
    if setting.folder is Folder.NO:
        return ()
    return (*setting.foreign, *map(Variable, setting.outside))


def _left_to_others(text: str) -> None:
    """`transport` and `hubs` read these variables themselves."""


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (value,) if isinstance(value, str) else ()


def _several(value: object) -> Iterable[object]:
    return value if isinstance(value, tuple) else (value,)
