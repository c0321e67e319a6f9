"""``.env`` as people and ACE-Step write it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.configuration.dotenv import parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A = b  ", "b"),
        ("export A=b", "b"),
        ("A='b c'", "b c"),
        ('A="b c"', "b c"),
        ("A=b c", "b c"),
        ("A=b # said", "b"),
        ("A=b#c", "b#c"),
        ('A="b # c" # said', "b # c"),
        ("A='b # c'# said", "b # c"),
        (r'A="say \"b\""', 'say "b"'),
        (r'A="C:\models"', r"C:\models"),
        (r"A='C:\new'", r"C:\new"),
        ("A=$B", "$B"),
        ("A=b=c", "b=c"),
        ('A="b', '"b'),
        ("A=it's", "it's"),
        ("A=ü", "ü"),
    ],
)
def test_a_line_is_read_as_it_is_meant(line: str, value: str) -> None:
    assert {name: entry.texts for name, entry in parse(line).items()} == {"A": (value,)}


@pytest.mark.parametrize(
    "line", ["A=", "A=''", 'A=""', "A= # said", "#A=b", "A", "A: b", "1A=b", "A B=c", "[A]", "-A=b"]
)
def test_what_sets_nothing_sets_nothing(line: str) -> None:
    assert parse(line) == {}


def test_the_last_line_counts_and_its_number_is_known() -> None:
    found = parse("\ufeffA=1\r\n\r\n# more\r\nB=2\r\nA=3\r\n")
    assert {name: (entry.texts[0], entry.line) for name, entry in found.items()} == {"A": ("3", 5), "B": ("2", 4)}


def test_a_later_line_takes_a_value_back() -> None:
    assert parse("A=1\nA=\n") == {}


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.sampled_from("AB=\"'\\# \t\n\0x"), max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    assert all(entry.texts[0] for entry in parse(text).values())
