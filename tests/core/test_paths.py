"""Names that a listing may not bring onto a disk, for every operating system at once."""

from __future__ import annotations

import unicodedata
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.errors import IntegrityError
from acestep_fetch.core.paths import check_paths, fold, why_unsafe, why_unsafe_name

ESCAPES = [
    "", "/", "/etc/passwd", "//host/share", "a/", "a//b", ".", "..", "./a", "../a", "a/..", "a/../b", "a/./b", "a/.",
    "..\\a", "a\\b", "a/..\\..\\b", "\\\\host\\share\\x", "C:\\x", "C:/x", "c:x", "a/b:stream", "a:$DATA",
]  # fmt: skip
FORBIDDEN = [
    "a<b", "a>b", 'a"b', "a|b", "a?b", "a*b", "a\0b", "a\nb", "a\rb", "a\tb", "a\x1b[2Jb", "a\x7fb", "a\x85b",
    "a\x9b2Jb", "a\x9fb", "a\ud800b", "a\udfffb", "dir\n/x", "\x00",
]  # fmt: skip
WINDOWS = [
    "con", "CON", "Con.txt", "con.tar.gz", "a/NUL", "a/nul.safetensors", "aux/x", "prn .txt", "com1", "COM9.json",
    "lpt1", "LPT9.x", "COM¹", "lpt³.txt", "CONIN$", "conout$", "a.", "a/b.", "a./b", "a ", "a /b", " a", "a/ b", "...",
    "name. ", ". .",
]  # fmt: skip
TOO_LONG = ["x" * 256, "ü" * 128, f"a/{'x' * 256}/b", "/".join(["x" * 200] * 6), "/".join(["x" * 204] * 5) + "y"]
OURS = [
    ".acestep-fetch", ".acestep-fetch/lease", ".ACESTEP-Fetch/parts/x", ".cache", ".cache/huggingface/x", ".Cache/x",
    ".aceſtep-fetch/lease",
]  # fmt: skip
DEVICES = ["con", "prn", "aux", "nul", "conin$", "conout$"] + [
    f"{p}{n}" for p in ("com", "lpt") for n in "123456789¹²³"
]
SPELT = [form for name in DEVICES for form in (f"x/{name}", f"{name.upper()}.json", f"{name}.a.b", f"{name} .txt")]
DOTS = ["../" * n + "x" for n in range(2, 9)] + ["a/" * n + "../" * (n + 1) + "x" for n in range(1, 6)]
CONTROLS = [
    f"a{chr(code)}b" for code in (*range(1, 9), *range(11, 13), *range(14, 27), *range(28, 32), *range(128, 133))
]
HOSTILE = list(dict.fromkeys([*ESCAPES, *FORBIDDEN, *WINDOWS, *TOO_LONG, *OURS, *SPELT, *DOTS, *CONTROLS]))

HARMLESS = [
    "config.json", "a/b/c.safetensors", ".gitattributes", "..a", "a..b", "-rf", "--help", "~", "$HOME", "a b", "com10",
    "console.log", "communication", "null", "auxiliary/x", "a/.cache/x", "übung.txt", "音楽/模型.bin", "😀", "x" * 255,
    "ü" * 127, "a/.acestep-fetch", "a'b", "a;b", "100%", "a&b", "#1", "a@b", ".cached",
    "model-00001-of-00002.safetensors", "com!", "a!b", "a\xa0b", "a\ud7ffb", "a\ue000b", "/".join(["x" * 204] * 5),
]  # fmt: skip


def test_there_are_names_enough() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 200


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_hostile_names_are_refused_with_a_reason(path: str) -> None:
    assert why_unsafe(path)
    with pytest.raises(IntegrityError) as caught:
        check_paths(["fine.txt", path], where="the hub")
    assert "the hub lists" in caught.value.message
    assert caught.value.hint
    assert caught.value.message.isprintable()  # the name itself cannot reach the terminal raw


@pytest.mark.parametrize("path", HARMLESS, ids=ascii)
def test_harmless_names_pass(path: str) -> None:
    assert why_unsafe(path) is None
    check_paths([path], where="the hub")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../x", "is no plain path below its folder"),
        ("a/./x", "is no plain path below its folder"),
        ("/x", "is no plain path below its folder"),
        ("a/x.", "begins or ends in a way that Windows would change"),
        (".cache/x", "begins with a reserved name"),
    ],
)
def test_the_reason_is_the_one_that_counts(path: str, reason: str) -> None:
    assert why_unsafe(path) == reason


COLLIDING = [
    ("a", "A"),
    ("config.json", "Config.JSON"),
    ("a/b", "A/B"),
    ("a", "a/b"),
    ("A", "a/b/c"),
    ("x/y", "X/Y/z"),
    ("\u00fc", "u\u0308"),
    ("stra\u00dfe", "STRASSE"),
    ("\u212a", "k"),  # the Kelvin sign
    ("\ufb01le", "file"),  # a ligature
    ("d/\u00c5ngstr\u00f6m", "d/\u212bngstro\u0308m"),
]


@pytest.mark.parametrize("pair", [p for pair in COLLIDING for p in permutations(pair)], ids=ascii)
def test_names_that_are_one_name_on_some_disk_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(IntegrityError) as caught:
        check_paths(pair, where="the hub")
    assert "--exclude" in (caught.value.hint or "")


def test_a_folders_own_name_has_no_path_in_it() -> None:
    assert why_unsafe_name("vae") is None
    assert why_unsafe_name("vae/x") == "is no plain name"
    assert why_unsafe_name("..") == why_unsafe("..")
    assert why_unsafe_name(".GIT") == "begins with a reserved name"


@pytest.mark.parametrize("paths", [("a/b", "a/c"), ("a/b", "ab"), ("a", "b/a"), ("A/x", "a/y"), ("x.py", "x.pyc")])
def test_neighbours_do_not_collide(paths: tuple[str, str]) -> None:
    check_paths(paths, where="the hub")


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=20))
def test_one_name_folds_to_one_form_however_it_is_spelt(name: str) -> None:
    assert fold(unicodedata.normalize("NFD", name)) == fold(unicodedata.normalize("NFC", name))


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="ab.~/\\ :\0é\n", max_size=12))
def test_what_passes_stays_below_its_folder_and_keeps_its_name_on_windows(path: str) -> None:
    if why_unsafe(path) is not None:
        return
    parts = path.split("/")
    assert not path.startswith("/")
    assert all(part not in ("", ".", "..") and part == part.strip(" ").rstrip(".") for part in parts)
    assert not set(path) & set('<>:"|?*\\\0\n')


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(alphabet="aAbB/", min_size=1, max_size=5).filter(lambda p: not why_unsafe(p)), max_size=6))
def test_a_listing_passes_only_if_a_case_insensitive_disk_can_hold_it(paths: list[str]) -> None:
    distinct = set(paths)
    folded = {p.lower() for p in distinct}
    parents = {"/".join(p.split("/")[:n]) for p in folded for n in range(1, p.count("/") + 1)}
    fits = len(folded) == len(distinct) and not folded & parents
    if fits:
        check_paths(distinct, where="x")
    else:
        with pytest.raises(IntegrityError):
            check_paths(distinct, where="x")
