"""The keywords of the Python API against the table of settings: what is in one is in the other, or has a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.client.settings import _RENAMED, Settings, layout_of, options_for
from acestep_fetch.configuration.settings import SETTINGS, Scope
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options

NO_KEYWORD = {
    "model": "models are the arguments",
    "skip-main": "what is named is fetched, and nothing else",
    "dry-run": "plan()",
    "for-gpu": "its answer is for people: it says why, and which models",
    "locked": "lock= with that name",
    "token-file": "token= with what the file says",
    "probe-url": "of networks, not of a call: its variable, or options=",
    "probe-deadline": "the same",
}
# A value of each that is not the default, and what becomes of it.
VALUES: dict[str, tuple[Any, Any]] = {
    "dir": ("/x", Path("/x")),
    "all_models": (True, True),
    "include": ("*.json", ("*.json",)),
    "exclude": (["*.md", "*.txt"], ("*.md", "*.txt")),
    "revision": ("v1", "v1"),
    "force": (True, True),
    "lock": ("a.lock", Path("a.lock")),
    "offline": (True, True),
    "adopt": ("/old", (Path("/old"),)),
    "prefer_source": ("modelscope", HubName.MODELSCOPE),
    "only_source": ("huggingface", HubName.HUGGINGFACE),
    "huggingface_endpoint": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "modelscope_endpoint": ("http://127.0.0.1:2", "http://127.0.0.1:2"),
    "token": ("one", "one"),
    "modelscope_token": ("two", "two"),
    "ca_bundle": ("ca.pem", Path("ca.pem")),
    "proxy": ("socks5://127.0.0.1:3", "socks5://127.0.0.1:3"),
    "no_proxy": ("localhost", "localhost"),
    "connections": (7, 7),
    "jobs": (3, 3),
    "limit_rate": ("80MB/s", 80_000_000),
    "min_free": ("1GiB", 1 << 30),
    "give_up_after": (7.5, 7.5),
    "connect_timeout": (4.0, 4.0),
    "stall_timeout": (2.0, 2.0),
    "lease_wait": (0.0, 0.0),
}


def by_field() -> Iterator[tuple[str, str]]:
    """Of each keyword, the field of `Options` that it sets."""
    return ((_RENAMED.get(name, name), name) for name in Settings.__annotations__)


def test_every_setting_of_a_run_has_a_keyword_or_a_reason() -> None:
    mine = dict(by_field())
    settings = {setting.key: setting.field or setting.dest for setting in SETTINGS if setting.scope is not Scope.SCREEN}
    assert {key for key, field in settings.items() if field not in mine} == NO_KEYWORD.keys()
    assert mine.keys() <= set(settings.values())


@pytest.mark.parametrize("name", Settings.__annotations__)
def test_a_keyword_sets_its_field_and_nothing_else(name: str) -> None:
    given, becomes = VALUES[name]
    field = _RENAMED.get(name, name)
    made = options_for((), Options(), {name: given})
    assert getattr(Options(), field) != becomes
    assert made == replace(Options(), **{field: becomes})
    assert field in {each.name for each in fields(Options)}


@pytest.mark.parametrize("name", Settings.__annotations__)
def test_none_leaves_it_to_the_options(name: str) -> None:
    base = Options(connections=9)
    assert options_for((), base, {name: None}) == base


@pytest.mark.parametrize("name", Settings.__annotations__)
def test_an_empty_text_is_as_an_empty_flag(name: str) -> None:
    """A script's variable that is not set: not the working folder, and not its lock."""
    base = Options(connections=9, directory=Path("/x"), lock=Path("a.lock"), token="t")
    assert options_for((), base, {name: ""}) == base


def test_an_empty_text_for_the_folder_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("ACESTEP_FETCH_DIR", "ACESTEP_CHECKPOINTS_DIR", "ACESTEP_PROJECT_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    assert layout_of("").root == layout_of(None).root == tmp_path / "checkpoints"
    monkeypatch.setenv("ACESTEP_FETCH_DIR", "models")
    assert layout_of("").root == tmp_path / "models"


WRONG_NUMBERS: list[object] = [float("nan"), float("inf"), -1, "1", True, [1]]


@pytest.mark.parametrize("value", WRONG_NUMBERS, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "probe_deadline",
        "connections",
        "jobs",
        "limit_rate",
        "connect_timeout",
        "stall_timeout",
        "give_up_after",
        "lease_wait",
        "min_free",
    ],
)
def test_what_is_no_number_is_told_before_anything_is_done(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name} (must be|is not)"):
        Options(**{name: value})
    if name in Settings.__annotations__ and not isinstance(value, str):
        with pytest.raises(UsageError):
            options_for((), Options(), {name: value})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: options_for((), Options(), {"only_source": "hf"}), "'hf' is not a source"),
        (lambda: options_for((), Options(), {"min_free": "much"}), "'much' is not a size"),
        (lambda: options_for((), Options(), {"give_up_after": 0}), "give_up_after must be above 0"),
    ],
)
def test_a_wrong_value_is_told(made: Callable[[], Options], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made()


def test_no_room_to_be_left_is_a_value() -> None:
    assert options_for((), Options(min_free=5), {"min_free": 0}).min_free == 0
