"""How long a signed URL says it will live, in every spelling seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.links import expires_at, is_fresh
from tests.support.clocks import zone

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
SOON = int(NOW) + 3600


@pytest.mark.parametrize(
    ("query", "expiry"),
    [
        (f"Expires={SOON}&Signature=x&Key-Pair-Id=y", float(SOON)),
        (f"expires={SOON}", float(SOON)),
        (f"response-content-disposition=a%26Expires%3D1&Expires={SOON}", float(SOON)),
        ("X-Amz-Date=20270115T080000Z&X-Amz-Expires=600&X-Amz-Signature=z", NOW + 600),
        ("x-amz-expires=600&x-amz-date=20270115T075500Z", NOW + 300),
        (f"auth_key={SOON}-0-0-abcdef", float(SOON)),
        (f"auth_key={int(NOW) - 10}-0-0-abcdef", None),  # the time of signing: says nothing of the end
        (f"Expires={int(NOW) - 3600}", NOW - 3600),
        (f"Expires={int(NOW) - 86399}", NOW - 86399),
        (f"Expires={int(NOW) - 86400}", None),
        (f"Expires={int(NOW) + 366 * 86400 - 1}", NOW + 366 * 86400 - 1),
        (f"Expires={int(NOW) + 366 * 86400}", None),
        (f"Expires={int(NOW) + 400 * 86400}", None),
        ("Expires=0", None),
        (f"Expires=-{SOON}", None),
        (f"Expires={SOON}.5", None),
        ("Expires=Thu%2C%2001%20Dec%202026", None),
        ("Expires=" + "9" * 5000, None),
        ("Expires=%C2%B2", None),
        ("X-Amz-Date=20270115T080000Z&X-Amz-Expires=%C2%B9", None),
        ("X-Amz-Date=20270115T080000Z", None),
        ("X-Amz-Expires=600", None),
        ("X-Amz-Date=2027-01-15&X-Amz-Expires=600", None),
        ("X-Amz-Date=20271315T080000Z&X-Amz-Expires=600", None),
        ("X-Amz-Date=20270115T080000Z&X-Amz-Expires=" + "9" * 400, None),
        ("auth_key=%C2%B2-0", None),
        ("auth_key=", None),
        ("", None),
    ],
)
def test_the_end_of_a_link_is_read_off_its_query(query: str, expiry: float | None) -> None:
    with zone("Asia/Tokyo"):
        assert expires_at(f"https://cdn.example/blob?{query}", NOW) == expiry


@settings(deadline=None, max_examples=200)
@given(name=st.sampled_from(["Expires", "X-Amz-Date=20270115T080000Z&X-Amz-Expires", "auth_key"]), value=st.text())
def test_no_query_breaks_it(name: str, value: str) -> None:
    expiry = expires_at(f"https://cdn.example/blob?{name}={value}", NOW)
    assert expiry is None or NOW - 86400 < expiry < NOW + 366 * 86400


@settings(deadline=None, max_examples=200)
@given(life=st.floats(0.1, 1e6), age=st.floats(0, 1))
def test_a_link_is_renewed_ahead_of_its_end_but_not_while_it_is_young(life: float, age: float) -> None:
    now = NOW + age * life
    fresh = is_fresh(NOW + life, now, NOW)
    if age < 0.79:
        assert fresh or life - age * life < 30
    if age >= 1:
        assert not fresh


@given(life=st.floats(0.1, 149), age=st.floats(0, 1))
def test_a_short_link_is_used_for_four_fifths_of_its_life(life: float, age: float) -> None:
    if abs(age - 0.8) > 0.001:
        assert is_fresh(NOW + life, NOW + age * life, NOW) is (age < 0.8)
    assert not is_fresh(NOW + 100, NOW + 80, NOW)


@pytest.mark.parametrize(("left", "fresh"), [(31, True), (29, False), (0, False), (-1, False)])
def test_a_long_link_is_renewed_half_a_minute_ahead(left: float, fresh: bool) -> None:
    assert is_fresh(NOW + 3600, NOW + 3600 - left, NOW) is fresh


def test_a_link_that_does_not_say_is_used_until_it_is_refused() -> None:
    assert is_fresh(None, NOW + 1e9, NOW)


def test_a_link_that_looks_dead_at_birth_tells_about_our_clock_only() -> None:
    assert is_fresh(NOW - 600, NOW + 1, NOW)
    assert is_fresh(NOW, NOW + 1, NOW)
