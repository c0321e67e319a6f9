"""Which files may say something, and what they say. The only module here that reads any.

Highest first: ``.env`` of the working folder, ``acestep-fetch.toml`` there (or else the table ``[tool.acestep-fetch]``
of its ``pyproject.toml``), the user's own, the machine's.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from acestep_fetch.configuration import dotenv, layers
from acestep_fetch.configuration.layers import Entry, Layer, Said
from acestep_fetch.configuration.settings import BY_KEY, PREFIX, SETTINGS, Folder, Kind, Setting
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.secrecy import Secret

NAME: Final = "acestep-fetch.toml"
_TOKEN_FILE: Final = "name a file with the token and nothing else; ACE-Step's own models need none"
_TABLE: Final = "tool.acestep-fetch"
_MOST: Final = 1 << 20  # bytes of such a file


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is looked for; `kind` is that of its `layers.Origin`."""

    kind: str
    file: Path
    shown: Path  # as messages name it, from the working folder

    @property
    def is_of_others(self) -> bool:
        """Written for another program first of all, which will say what is wrong with it."""
        return self.file.name in (".env", "pyproject.toml")


def sources(environ: Mapping[str, str], here: Path | None) -> list[Source]:
    """The files that are looked for, highest first. `here` is None where there is no working folder any more."""
    found = list[Source]()
    if here:
        names = (("dotenv", ".env"), ("project", NAME), ("project", "pyproject.toml"))
        found += [Source(kind, here / name, Path(name)) for kind, name in names]
    if user := _user_file(environ):
        found.append(Source("user", user, user))
    if os.name != "nt":
        found.append(Source("system", Path("/etc") / NAME, Path("/etc") / NAME))
    return found


def _user_file(environ: Mapping[str, str]) -> Path | None:
    """``~/.config`` on macOS too, where programs of the terminal are looked for; ``%APPDATA%`` on Windows."""
    folder: str | Path | None = environ.get("APPDATA") if sys.platform == "win32" else environ.get("XDG_CONFIG_HOME")
    if not folder and sys.platform != "win32":
        try:
            folder = Path.home() / ".config"
        except RuntimeError:
            return None
    return Path(folder) / "acestep-fetch" / "config.toml" if folder and Path(folder).is_absolute() else None


def everything(environ: Mapping[str, str], here: Path | None = None) -> list[Layer]:
    """All layers below the flags. `here` stands for the working folder."""
    if here is None:
        with suppress(OSError):
            here = Path.cwd()
    return [*layers.variables(environ), *read(sources(environ, here))]


def read(found: list[Source]) -> list[Layer]:
    """The layers of those files that are there. Raises `UsageError` that names file, line and key."""
    return [layer for source in found for layer in _layers(source, found)]


def _layers(source: Source, among: list[Source]) -> Iterator[Layer]:
    if source.file.name == "pyproject.toml" and _is_there(source.file.with_name(NAME)):
        return  # as with other tools, a file of one's own is the whole truth
    text = _text(source)
    if text is None:
        return
    if source.kind == "dotenv":
        entries = dotenv.parse(text)
        _check_names(source, entries)
        yield from layers.dotenv(source.shown, source.file.parent, entries)
    elif keys := _keys(source, text):
        yield layers.keys(source.kind, source.shown, source.file.parent, keys)


def fields_of(found: Mapping[str, Said]) -> dict[str, object]:
    """What was found, as fields of `Options`; the token's file is read. Raises `UsageError` that names it."""
    named = {BY_KEY[key].field: said.value for key, said in found.items() if BY_KEY[key].field}
    if "token-file" in found:
        if "token" in found:
            raise UsageError(
                f"{found['token'].origin} and {found['token-file'].origin} exclude each other",
                hint="keep the file, which stays out of `ps`, and leave out the other",
            )
        named["token"] = _token_in(found["token-file"])
    return {name: value for name, value in named.items() if value is not None}


def _token_in(said: Said) -> Secret:
    file = said.value
    assert isinstance(file, Path)  # as the table has it
    named = f"{said.origin} {'(a token, not a file)' if said.text.startswith('hf_') else file}"
    try:
        token = Secret(file.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{named}: {getattr(exc, 'strerror', None) or 'not a text'}", hint=_TOKEN_FILE) from exc
    if not token:
        raise UsageError(f"{named}: the file is empty", hint=_TOKEN_FILE)
    return token


# -- .env -----------------------------------------------------------------------------------------------------------


def _check_names(source: Source, entries: Mapping[str, Entry]) -> None:
    """Raises `UsageError` for a name that can only be meant for this program, and that it does not know or believe."""
    known = {name: setting for setting in SETTINGS for name in setting.variables}
    for name, entry in entries.items():
        if name in known:
            _refuse(source, known[name], f"{source.shown}:{entry.line}: {name}")
        elif name.startswith(PREFIX):
            raise _unknown(f"{source.shown}:{entry.line}", name, list(known))


def remarks(environ: Mapping[str, str], among: list[Layer]) -> list[str]:
    """What looks as if it were meant for this program, and is not used."""
    ours = [name for setting in SETTINGS for name in setting.variables]
    said = [f"{name}: there is no such setting" for name in environ if name.startswith(PREFIX) and name not in ours]
    closed = [setting for setting in SETTINGS if setting.folder is Folder.NO]
    theirs = {name for setting in closed for name in (*(v.name for v in setting.foreign), *setting.outside)}
    written = next((layer for layer in among if layer.kind == "dotenv"), None)
    for name, entry in written.entries.items() if written else ():
        if name in theirs:
            said.append(f"{written.file if written else ''}:{entry.line}: {name}: used only where it is a variable")
    return said


# -- TOML -----------------------------------------------------------------------------------------------------------


def _keys(source: Source, text: str) -> dict[str, Entry] | None:
    """None where a pyproject.toml has no table for us, which is seen without parsing it."""
    in_pyproject = source.file.name == "pyproject.toml"
    if in_pyproject and "acestep-fetch" not in text:
        return None
    import tomllib

    try:
        document: Any = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # no TOML, a number of thousands of digits, thousands of brackets
        if source.is_of_others:
            return None
        why = str(exc) if isinstance(exc, tomllib.TOMLDecodeError) else "it cannot be read as TOML"
        raise UsageError(f"{source.shown}: {why}", hint='it is to be TOML: connections = 8, model = ["main"]') from None
    if in_pyproject:
        tools = document.get("tool")
        document = tools.get("acestep-fetch") if isinstance(tools, dict) else None
        if not isinstance(document, dict):
            return None
    lines = _lines(text, _TABLE if in_pyproject else "")
    entries = {key: _entry(source, key, value, lines.get(key)) for key, value in document.items()}
    return {key: entry for key, entry in entries.items() if entry.texts != ("",)}  # as a variable is unset


def _entry(source: Source, key: str, value: object, line: int | None) -> Entry:
    place = f"{source.shown}:{line}" if line else str(source.shown)
    if key not in BY_KEY:
        raise _unknown(place, key, list(BY_KEY), _nicknames())
    _refuse(source, BY_KEY[key], f"{place}: {key}")
    many = BY_KEY[key].kind is Kind.MANY
    texts = [_text_of(part) for part in value] if many and isinstance(value, list) else [_text_of(value)]
    if None in texts:
        wanted = "a list of texts" if many else "a text, a number, true or false"
        example = f'{key} = ["one", "two"]' if many else f'{key} = "..."'
        raise UsageError(
            f"{place}: {key}: {wanted} is expected", hint=f"write {example}; docs/configuration.md has all"
        )
    return Entry(tuple(text for text in texts if text is not None), line)


def _text_of(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        return str(value) if isinstance(value, str | int | float) else None
    except ValueError:  # a hexadecimal number of thousands of digits
        return None


def _lines(text: str, table: str) -> dict[str, int]:
    """On which line each key of `table` begins, as far as that can be seen without a parser."""
    found, at = dict[str, int](), ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.fullmatch(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?", line):
            at = match[1].replace('"', "").replace(" ", "")
        elif at == table and (match := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)):
            found.setdefault(match[1], number)
    return found


# -- both -----------------------------------------------------------------------------------------------------------


def _unknown(place: str, name: str, known: list[str], nicknames: Mapping[str, str] | None = None) -> UsageError:
    """`nicknames` are other names for those that are `known`."""
    from difflib import get_close_matches

    meant = {each: each for each in known} | dict(nicknames or {})
    close = get_close_matches(name.lower().replace("_", "-") if nicknames else name, meant, n=1)
    hint = f"did you mean {meant[close[0]]}?" if close else f"there are {', '.join(known)}"
    return UsageError(f"{place}: there is no setting {name}", hint=hint)


def _nicknames() -> dict[str, str]:
    """What keys are called elsewhere: as flags of other programs, and in Python."""
    found = {
        setting.field.replace("_", "-"): setting.key for setting in SETTINGS if setting.field not in ("", "models")
    }
    return found | {alias.lstrip("-"): setting.key for setting in SETTINGS for alias in setting.aliases}


def _refuse(source: Source, setting: Setting, place: str) -> None:
    """Raises `UsageError` for what the files of the working folder may not say, whether it would count or not."""
    may_all = source.kind in ("user", "system") or setting.folder is Folder.MAY
    if may_all or (setting.folder is Folder.DOTENV and source.kind == "dotenv"):
        return
    ways = [f"--{setting.key}"] if setting.has_flag else []
    ways += [setting.variables[0], *([".env"] if setting.folder is Folder.DOTENV else [])]
    raise UsageError(
        f"{place}: the files of a folder cannot set this, because they may be somebody else's",
        hint=f"use {', '.join(ways)} or a configuration file of your own: `acestep-fetch config path` names it",
    )


def _is_there(file: Path) -> bool:
    try:
        return S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _text(source: Source) -> str | None:
    """None where it is no file: an environment of Python's is often called ``.env``."""
    if not _is_there(source.file):
        return None
    try:
        with source.file.open("rb") as opened:
            data = opened.read(_MOST + 1)
        if len(data) > _MOST:
            raise UsageError(
                f"{source.shown}: it is larger than {_MOST >> 20} MiB",
                hint="settings take a few lines: see that it is the right file",
            )
        return data.decode("utf-8")
    except OSError as exc:
        if source.is_of_others:
            return None
        raise UsageError(
            f"{source.shown}: {exc.strerror or 'cannot be read'}",
            hint="give yourself the right to read it, or move it away",
        ) from None
    except UnicodeDecodeError:
        if source.is_of_others:
            return None
        raise UsageError(f"{source.shown}: it is not text in UTF-8", hint="save it as UTF-8") from None
