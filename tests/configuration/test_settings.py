"""One table, and nothing beside it: flags, `Options`, what is shown and the documentation are held against it."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections import Counter
from pathlib import Path

from acestep_fetch.cli import get
from acestep_fetch.cli.arguments import Showing
from acestep_fetch.configuration.settings import BY_KEY, SETTINGS, Folder, Kind, Scope
from acestep_fetch.options import Options

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
# Flags that say what the command is, and not how it goes about it.
COMMANDS = {"help", "list", "check", "version"}


def actions() -> list[argparse.Action]:
    return get.parser()._actions


def test_every_flag_of_get_has_its_variable_and_key() -> None:
    flags = {action.dest for action in actions() if action.dest not in COMMANDS}
    assert flags == {setting.dest for setting in SETTINGS if setting.has_flag}


def test_every_flag_says_nothing_when_it_is_not_given() -> None:
    """A default of argparse's would go before every other layer."""
    assert {action.dest for action in actions() if action.default is not None} <= COMMANDS


def test_every_field_of_the_options_has_one_setting() -> None:
    mine = Counter(setting.field for setting in SETTINGS if setting.field)
    fields = {field.name for field in dataclasses.fields(Options)} - {"adopt", "adopt_by", "adopt_only"}
    assert mine == Counter(fields)  # but for what `adopt` says: --adopt has names in it that are no folders


def test_what_is_shown_has_one_setting_each() -> None:
    shown = Counter(setting.dest for setting in SETTINGS if setting.scope is Scope.SCREEN)
    assert shown == Counter(field.name for field in dataclasses.fields(Showing))


def test_no_name_stands_for_two_settings() -> None:
    names = Counter(
        name for s in SETTINGS for name in (*s.variables, *(variable.name for variable in s.foreign), *s.outside)
    )
    assert max(names.values()) == 1
    flags = Counter(flag for s in SETTINGS for flag in (*s.flags, f"--{s.key}", *s.aliases))
    assert max(flags.values()) == 1


def test_the_defaults_in_the_help_are_the_defaults() -> None:
    for setting in SETTINGS:
        if said := re.search(r"\(default (\S+)\)", setting.help):
            value = getattr(Options(), setting.field) if setting.field else getattr(Showing(), setting.dest)
            number = {"1h": 3600}.get(said[1], said[1])
            assert str(number) == (setting.default or f"{value:g}"), setting.key


def documented() -> dict[str, list[str]]:
    """The rows of the page's table, by their key."""
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {key: [cell.strip() for cell in rest.split(" | ")] for key, rest in rows}


def test_the_page_has_every_setting_as_it_is() -> None:
    assert list(documented()) == list(BY_KEY)
    for key, (flags, variables, default, folder, _) in documented().items():
        setting = BY_KEY[key]
        assert re.findall(r"`([^`]+)`", flags) == [*setting.flags, *([f"--{key}"] if setting.has_flag else [])], key
        foreign = [variable.name for variable in setting.foreign]
        outside = dict.fromkeys(name.upper() for name in setting.outside)  # in lower case too, as everywhere
        assert re.findall(r"`([^`]+)`", variables) == [*setting.older, *foreign, *outside], key
        value = getattr(Options(), setting.field) if setting.field else getattr(Showing(), setting.dest, None)
        plain = f"{value:g}" if isinstance(value, float | int) and not isinstance(value, bool) else value or ""
        shown = setting.default or ("no" if setting.kind is Kind.SWITCH else plain)
        assert default.strip("`") == (shown or "none"), key
        assert folder == {Folder.MAY: "yes", Folder.DOTENV: "`.env`", Folder.NO: "no"}[setting.folder], key
