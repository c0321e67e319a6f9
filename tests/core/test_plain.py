"""Values as JSON has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from acestep_fetch.core.model import HubName
from acestep_fetch.core.plain import plain_data, plain_fields


@dataclass(frozen=True)
class Inner:
    hub: HubName
    seconds: float


@dataclass(frozen=True)
class Outer:
    inner: Inner
    sizes: dict[HubName, int]
    names: tuple[str, ...]


def test_every_kind_of_value() -> None:
    value = Outer(Inner(HubName.MODELSCOPE, 0.12345), {HubName.HUGGINGFACE: 3}, ("a", "b"))
    plain = {
        "inner": {"hub": "modelscope", "seconds": 0.123},
        "sizes": {"huggingface": 3},
        "names": ["a", "b"],
    }
    assert plain_data(value) == plain_fields(value) == plain
    assert plain_data([value, {1}, None, True, 7]) == [plain, [1], None, True, 7]
    assert json.loads(json.dumps(plain_data(value))) == plain


def test_what_json_has_no_number_for_is_null() -> None:
    assert plain_data([float("nan"), float("inf"), -1.0005]) == [None, None, -1.0]


def test_an_enum_member_is_its_text_and_nothing_more() -> None:
    assert type(plain_data(HubName.HUGGINGFACE)) is str
    assert {type(key) for key in plain_data({HubName.HUGGINGFACE: 1})} == {str}


def test_what_is_none_of_these_stays() -> None:
    assert plain_data(Inner) is Inner
    assert plain_data(Path("x")) == Path("x")
