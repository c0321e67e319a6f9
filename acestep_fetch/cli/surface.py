"""The command line as data, read from the parsers: what the completions, the manual page and the reference show."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any, Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.cli.commands import COMMANDS, Command


class Kind(Enum):
    """What a value may be."""

    WORDS = "one of its words"
    MODEL = "a model of the catalogue"
    FOLDER = "a folder"
    FILE = "a file"
    FREE = "anything"


@dataclass(frozen=True, slots=True)
class Value:
    """What follows a flag, or stands on its own."""

    name: str  # as the help calls it
    kind: Kind
    words: tuple[str, ...] = ()
    optional: bool = False  # may be left out
    many: bool = False  # may be given more than once


@dataclass(frozen=True, slots=True)
class Flag:
    names: tuple[str, ...]  # with their dashes
    about: str
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    flags: tuple[Flag, ...]


@dataclass(frozen=True, slots=True)
class Argument:
    """A value without a flag."""

    value: Value
    about: str


@dataclass(frozen=True, slots=True)
class Page:
    """A command. One that only gathers others (`config`) has them as `children`, under their full names."""

    name: str
    summary: str
    description: str
    groups: tuple[Group, ...]
    arguments: tuple[Argument, ...]
    epilog: str  # the examples, and what else the help ends with
    children: tuple[Page, ...] = ()

    @property
    def flags(self) -> tuple[Flag, ...]:
        return tuple(flag for group in self.groups for flag in group.flags)


_BY_NAME: Final = {"DIR": Kind.FOLDER, "FILE": Kind.FILE, "MODEL": Kind.MODEL}
_SOURCES: Final = ("huggingface", "modelscope", "auto")


def pages() -> list[Page]:
    """Every command of the table, in its order. Imports the module of each."""
    return [_page(command) for command in COMMANDS]


def every(top: list[Page]) -> Iterator[Page]:
    """The pages, each before its children."""
    for page in top:
        yield page
        yield from every(list(page.children))


def _page(command: Command) -> Page:
    parser: argparse.ArgumentParser = import_module(f"acestep_fetch.cli.{command.module}").parser()
    return _read(command.name, command.summary, parser)


# argparse has no public way to ask a parser what it knows; its completion libraries read the same attributes.
def _read(name: str, summary: str, parser: argparse.ArgumentParser) -> Page:
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
    children = list[Page]()
    for action in shown:
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            abouts = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            children += [_read(f"{name} {word}", abouts.get(word, ""), child) for word, child in action.choices.items()]
    return Page(
        name,
        summary,
        " ".join((parser.description or "").split()),  # whoever shows it breaks its lines
        tuple(_groups(parser)),
        tuple(
            Argument(_value(action), _about(action, parser))
            for action in shown
            if not action.option_strings and not isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
        ),
        (parser.epilog or "").strip("\n"),
        tuple(children),
    )


def _groups(parser: argparse.ArgumentParser) -> Iterator[Group]:
    """The groups of the help that have a flag to show; those that every parser has come last, under one title."""
    rest = list[Flag]()
    for group in parser._action_groups:  # noqa: SLF001
        flags = [
            Flag(tuple(action.option_strings), _about(action, parser), None if action.nargs == 0 else _value(action))
            for action in group._group_actions  # noqa: SLF001
            if action.option_strings and action.help != argparse.SUPPRESS
        ]
        if group in parser._action_groups[:2]:  # noqa: SLF001
            rest += flags
        elif flags:
            yield Group(group.title or "", tuple(flags))
    if rest:
        yield Group("options", tuple(rest))


def _about(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    return (action.help or "") % (vars(action) | {"prog": parser.prog})


def _value(action: argparse.Action) -> Value:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    if action.option_strings and not action.metavar:
        name = action.dest.upper()
    words: tuple[str, ...] = tuple(map(str, action.choices or ()))
    many = action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction)  # noqa: SLF001
    optional = action.nargs in ("*", "?")
    return Value(name, _kind(action, name, words), words or _known_words(action), optional, many)


def _kind(action: argparse.Action, name: str, words: Any) -> Kind:
    if words or _known_words(action):
        return Kind.WORDS
    return Kind.MODEL if action.dest in ("model", "models") else _BY_NAME.get(name, Kind.FREE)


def _known_words(action: argparse.Action) -> tuple[str, ...]:
    """Of values that are checked when they are used, because the environment has them too."""
    return _SOURCES if action.metavar == "SOURCE" else ()


def model_names() -> list[tuple[str, str]]:
    """What ``--model`` takes besides OWNER/NAME and short forms: every name, and what it is for."""
    catalogue = load_catalogue()
    parts = [(part.name, part.purpose) for model in catalogue.models for part in model.components]
    whole = [(model.name, model.purpose) for model in catalogue.known]
    return whole + [(name, purpose) for name, purpose in parts if name in catalogue.inside]
