"""What a lock says, how it is written, and what is none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import permutations

import pytest

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import Lock, LockedFile, LockedModel, changes, parse, render, shown
from acestep_fetch.core.model import RemoteFile

FILES = (LockedFile("Repo/a.bin", 9, "a" * 64, "b" * 40), LockedFile("Repo/模.json", 0, None, "c" * 40))
MODEL = LockedModel("Repo", "made/Repo", "Repo", {"modelscope": "d" * 40}, ("Repo",), FILES)
LOCK = Lock((MODEL,))


def test_files_of_one_content_may_know_one_digest_less_each() -> None:
    both = (("a", "a" * 64, None), ("b", "a" * 64, "b" * 40), ("c", None, "b" * 40))
    files = tuple(LockedFile(f"Repo/{name}", 1, sha256, git) for name, sha256, git in both)
    lock = Lock((replace(MODEL, files=files),))
    assert parse(render(lock), "l")[0] == lock


def test_a_lock_comes_back_as_it_was() -> None:
    text = render(LOCK)
    assert parse(text, "l")[0] == LOCK
    assert render(Lock((LockedModel("A", "o/A", "A", {}, ("A",), ()), MODEL))).index('"A"') < text.index("Repo")
    assert "模" in text
    assert list(changes(LOCK, LOCK)) == []


def file(**row: object) -> dict[str, object]:
    return {"files": {"Repo/a": row}}


AA, CANNOT, NOT_WHAT = "a" * 64, "cannot both be what it says", "size and digest are not what they should be"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"repo": "x"}, "'x' is not a repository id"),
        ({"folder": "other"}, "the files of Repo do not lie in 'other'"),
        ({"folder": "Rep"}, "the files of Repo do not lie in 'Rep'"),
        ({"folder": "other", "files": {"other/a": {"size": 1, "sha256": AA}}}, "the files of Repo do not lie in"),
        ({"components": ["vae"]}, "Repo/a.bin belongs to no component of Repo"),
        ({"components": ["Repo", "/home"]}, "the component '/home' is no plain name"),
        ({"components": ["Repo", ".."]}, "the component '..' is no plain path below its folder"),
        ({"components": ["Repo", "Repo/x"]}, "the component 'Repo/x' is no plain name"),
        ({"components": ["Repo", ".git"]}, "the component '.git' begins with a reserved name"),
        ({"components": ["Repo", 7]}, "the component 7 is no name"),
        ({"components": ["Repo", "Repo"]}, "Repo names a component twice"),
        ({"commits": {"github": "a" * 40}}, "'github' is not a valid HubName"),
        ({"files": {"other/a": {"size": 1, "sha256": AA}}}, "the files of Repo do not lie in 'Repo'"),
        ({"files": {f"{n}/a": {"size": 1, "sha256": AA} for n in ("Repo", "x")}}, "the files of Repo do not lie in"),
        ({"files": {f"Repo/{n}": {"size": 1, "sha256": AA} for n in "aA"}}, "one name on many disks"),
        (file(size=True, sha256=AA), NOT_WHAT),
        (file(size="1", sha256=AA), NOT_WHAT),
        (file(size=1.0, sha256=AA), NOT_WHAT),
        (file(size=-1, sha256=AA), NOT_WHAT),
        (file(size=1 << 63, sha256=AA), NOT_WHAT),
        ({"files": {}}, "Repo has no file in one of its components"),
        ({"files": {}, "components": []}, "Repo has no file in one of its components"),
        ({"components": ["Repo", "vae"]}, "Repo has no file in one of its components"),
        ({"commits": {"modelscope": "main"}}, "the commits of Repo are not what they should be"),
        ({"commits": {"modelscope": "../" + "a" * 37}}, "the commits of Repo are not what they should be"),
        ({"commits": {"modelscope": 7}}, "TypeError"),
        (file(size=1), NOT_WHAT),
        (file(size=1, sha256="a" * 63), NOT_WHAT),
        (file(size=1, sha256=AA, git_sha1="a" * 41), NOT_WHAT),
        ({"files": {"Repo/a": {"size": 1, "sha256": AA}, "Repo/b": {"size": 2, "sha256": AA}}}, CANNOT),
        ({"files": {f"Repo/{n}": {"size": 1, "sha256": AA, "git_sha1": n * 40} for n in "bc"}}, CANNOT),
        ({"files": {f"Repo/{n}": {"size": 1, "sha256": n * 64, "git_sha1": "a" * 40} for n in "bc"}}, CANNOT),
    ],
    ids=str,
)
def test_a_damaged_lock_is_no_lock(change: dict[str, object], said: str) -> None:
    rows = json.loads(render(LOCK))
    rows["models"]["Repo"] |= change
    with pytest.raises(UsageError, match=f"^l: .*{re.escape(said)}") as caught:
        parse(json.dumps(rows), "l")
    assert "acestep-fetch lock" in (caught.value.hint or "")


KNOWN = {
    "git's": [(AA, None), (AA, "b" * 40), (AA, "c" * 40)],
    "sha256": [(None, "b" * 40), (AA, "b" * 40), ("c" * 64, "b" * 40)],
}


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("known", KNOWN)
def test_who_knows_less_does_not_hide_a_contradiction_of_two_others(known: str, order: tuple[int, ...]) -> None:
    files = tuple(LockedFile(f"Repo/{at}", 1, *KNOWN[known][n]) for at, n in enumerate(order))
    with pytest.raises(UsageError, match=CANNOT):
        parse(render(Lock((replace(MODEL, files=files),))), "l")


def test_the_largest_size_of_a_file() -> None:
    lock = Lock((replace(MODEL, files=(LockedFile("Repo/a", (1 << 63) - 1, AA),)),))
    assert parse(render(lock), "l")[0] == lock


def test_an_empty_digest_is_none() -> None:
    rows = json.loads(render(LOCK))
    rows["models"]["Repo"] |= {"files": {"Repo/a": {"size": 1, "sha256": "", "git_sha1": "b" * 40}}}
    assert parse(json.dumps(rows), "l")[0].models[0].files == (LockedFile("Repo/a", 1, None, "b" * 40),)
    rows["models"]["Repo"] |= {"files": {"Repo/a": {"size": 0, "sha256": AA, "git_sha1": ""}}}
    assert parse(json.dumps(rows), "l")[0].models[0].files == (LockedFile("Repo/a", 0, AA),)


TEXT = """{
  "version": 1,
  "notes": [],
  "made": [
    "by hand",
    2
  ],
  "models": {
    "Repo": {
      "repo": "made/Repo",
      "folder": "Repo",
      "commits": {"modelscope": "dd"},
      "components": ["Repo"],
      "files": {
        "Repo/a.bin": {"size": 9, "sha256": "aa", "git_sha1": "bb"},
        "Repo/模.json": {"size": 0, "git_sha1": "cc"}
      }
    }
  }
}
"""
for short, long in (("dd", "d" * 40), ("aa", "a" * 64), ("bb", "b" * 40), ("cc", "c" * 40)):
    TEXT = TEXT.replace(f'"{short}"', f'"{long}"')


def test_a_lock_reads_as_people_and_version_control_want_it() -> None:
    assert render(Lock((replace(MODEL, files=FILES[::-1]),)), {"notes": [], "made": ["by hand", 2]}) == TEXT
    both = Lock((replace(MODEL, name="Z", folder="", commits={"modelscope": "m", "huggingface": "h"}), MODEL))
    assert json.loads(render(both))["models"].keys() == {"Repo", "Z"}
    assert '"commits": {"huggingface": "h", "modelscope": "m"}' in render(both)
    assert render(LOCK, {"repos": "x"}).splitlines()[2] == '  "repos": "x",'
    assert render(Lock()) == '{\n  "version": 1,\n  "models": {}\n}\n'
    assert LOCK.to_dict() == json.loads(render(LOCK))
    assert parse(TEXT, "l")[1]["made"] == ["by hand", 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no lock (JSONDecodeError"),
        ("[]", "this is no lock (TypeError"),
        ("7", "this is no lock (TypeError"),
        ("{}", "this is no lock (KeyError"),
        ('{"version": 1, "models": []}', "this is no lock (AttributeError"),
        ('{"version": 2, "models": {}}', "it is a lock of version 2, and this program knows 1"),
        ('{"version": 1, "models": {"a": {}}}', "this is no lock (KeyError: 'files')"),
        ("[" * 100_000, "this is no lock (RecursionError"),
        (b"\xff\xfe{", "this is no lock (UnicodeDecodeError"),
    ],
)
def test_what_is_none_is_told_with_its_name_and_what_to_do(text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "the.lock")
    assert caught.value.message.startswith(f"the.lock: {said}")
    assert "acestep-fetch lock" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["a/b", "..", "", ".git", "nul"])
def test_a_model_is_a_folder_of_its_own(name: str) -> None:
    rows = json.loads(render(Lock((replace(MODEL, folder="", components=("",), files=()),))))
    rows["models"] = {name: rows["models"]["Repo"]}
    with pytest.raises(UsageError, match="the model "):
        parse(json.dumps(rows), "l")


def test_a_repository_may_be_several_folders_and_files_beside_them() -> None:
    files = tuple(LockedFile(path, 1, f"{n:064x}") for n, path in enumerate(["README.md", "vae/a/b", "vae/c"]))
    main = LockedModel("main", "made/Main", "", {}, ("", "vae"), files)
    assert parse(render(Lock((main,))), "l")[0] == Lock((main,))
    assert [main.component_of(file.path) for file in files] == ["", "vae", "vae"]
    assert main.component_of("vae") == main.component_of("other/vae") == ""
    assert (main.in_repo("vae/c"), MODEL.in_repo("Repo/a.bin")) == ("vae/c", "a.bin")
    assert (main.size, MODEL.size) == (3, 9)
    with pytest.raises(UsageError, match=r"README\.md belongs to no component of main"):
        parse(render(Lock((replace(main, components=("text_encoder",)),))), "l")


def test_a_digest_more_is_no_difference_and_any_other_is() -> None:
    both = LockedFile("x", 9, "a" * 64, "b" * 40)
    for known in (both, replace(both, git_sha1=None), replace(both, sha256=None)):
        assert both.agrees_with(known)
        assert known.agrees_with(both)
    assert not replace(both, git_sha1=None).agrees_with(replace(both, sha256=None)), "they may be anything"
    for other in (replace(both, size=8), replace(both, sha256="c" * 64), replace(both, git_sha1="c" * 40)):
        assert not both.agrees_with(other)


def test_a_model_is_updated_and_what_was_known_of_the_same_bytes_stays() -> None:
    new = replace(MODEL, files=(replace(FILES[0], git_sha1=None), LockedFile("Repo/new", 1, "e" * 64)))
    other = replace(MODEL, name="Other", folder="", components=("Repo",))
    lock = LOCK.updated([new, other])
    assert [model.name for model in lock.models] == ["Repo", "Other"]
    assert lock.models[0].files == (FILES[0], LockedFile("Repo/new", 1, "e" * 64))
    assert lock.find("Other") == replace(other, files=FILES)
    assert lock.find("main") is None
    larger = replace(new, files=(replace(new.files[0], size=10),))
    assert LOCK.updated([larger]).models[0].files[0].git_sha1 is None, "other bytes"
    by_git = replace(new, files=(LockedFile("Repo/模.json", 0, None, "f" * 40),))
    assert LOCK.updated([by_git]).models[0].files[0].git_sha1 == "f" * 40


def test_changes_are_told_a_line_each() -> None:
    def with_file(**new: object) -> Lock:
        return Lock((replace(MODEL, files=(replace(FILES[0], **new), FILES[1])),))  # type: ignore[arg-type]

    told = f"sha256:{'a' * 12} (9 bytes)"
    assert list(changes(Lock(), LOCK)) == ["+ Repo: made/Repo, 2 files"]
    assert list(changes(LOCK, Lock())) == ["- Repo: made/Repo, 2 files"]
    assert list(changes(LOCK, with_file(size=8))) == [f"~ Repo/a.bin: {told} -> sha256:{'a' * 12} (8 bytes)"]
    assert list(changes(LOCK, with_file(git_sha1=None))) == []
    assert list(changes(LOCK, with_file(git_sha1="e" * 40))) == [
        f"~ Repo/a.bin: git-sha1:{'b' * 40} -> git-sha1:{'e' * 40}"
    ]
    assert list(changes(LOCK, Lock((replace(MODEL, files=FILES[:1]),)))) == [
        f"- Repo/模.json: git-sha1:{'c' * 12} (0 bytes)"
    ]
    assert list(changes(Lock((replace(MODEL, files=FILES[1:]),)), LOCK)) == [f"+ Repo/a.bin: {told}"]
    moved = replace(MODEL, repo="made/New", commits={"huggingface": "1" * 40, "modelscope": "e" * 40})
    assert list(changes(LOCK, Lock((moved,)))) == [
        "~ Repo: made/Repo -> made/New",
        f"~ Repo: Hugging Face none -> {'1' * 12}",
        f"~ Repo: ModelScope {'d' * 12} -> {'e' * 12}",
    ]
    both = [Lock((replace(MODEL, name=name),)) for name in ("B", "A")]
    assert list(changes(*both)) == ["+ A: made/Repo, 2 files", "- B: made/Repo, 2 files"]


def test_what_has_no_digest_is_said_to_have_none() -> None:
    assert shown(RemoteFile("x", 3)) == "no digest (3 bytes)"
