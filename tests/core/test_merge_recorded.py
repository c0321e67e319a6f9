"""A component as it was once: who still has its bytes, whatever the hubs list by now."""

from __future__ import annotations

import pytest

from acestep_fetch.core.merge import ComponentManifest, recorded_component
from acestep_fetch.core.model import HubName, RemoteFile, RepoId, Snapshot

HF, MS = HubName.HUGGINGFACE, HubName.MODELSCOPE
REPO = RepoId("made", "Repo")
SHA, OTHER, GIT = "a" * 64, "b" * 64, "c" * 40
FILE = RemoteFile("vae/a.bin", 9, SHA, GIT)


def manifest(
    hf: RemoteFile | None, ms: RemoteFile | None, *, may_differ: bool = False, truth: HubName = HF
) -> ComponentManifest:
    snapshots = {hub: Snapshot(hub, REPO, f"new{hub}", (file,) if file else ()) for hub, file in ((HF, hf), (MS, ms))}
    return recorded_component("vae", truth, "old", {"a.bin": FILE}, snapshots, lambda path: may_differ)


def test_it_stays_what_it_was_called() -> None:
    made = manifest(None, None)
    assert (made.name, made.prefix, made.truth, made.commit) == ("vae", "vae/", HF, "old")
    assert [file.path for file in made.files] == ["a.bin"]


def test_a_hub_that_lists_the_same_bytes_is_a_source_by_the_digest_that_it_lists() -> None:
    (file,) = manifest(RemoteFile("vae/a.bin", 9, None, GIT), RemoteFile("vae/a.bin", 9, SHA)).files
    assert (file.proven, file.possible) == ((HF, MS), ())
    assert file.file == RemoteFile("vae/a.bin", 9, None, GIT)
    (file,) = manifest(None, RemoteFile("vae/a.bin", 9, SHA)).files
    assert (file.proven, file.file.sha256, file.file.git_sha1) == ((MS,), SHA, None)


def test_the_hub_that_it_came_from_is_asked_first() -> None:
    both = RemoteFile("vae/a.bin", 9, None, GIT), RemoteFile("vae/a.bin", 9, SHA)
    (file,) = manifest(*both, truth=MS).files
    assert file.proven == (MS, HF)
    assert file.file.sha256 == SHA


def test_other_bytes_are_no_source() -> None:
    (file,) = manifest(RemoteFile("vae/a.bin", 9, OTHER), RemoteFile("vae/a.bin", 8, SHA)).files
    assert (file.proven, file.possible, file.file) == ((), (), FILE)


def test_one_that_has_it_is_enough() -> None:
    (file,) = manifest(RemoteFile("vae/a.bin", 9, OTHER), RemoteFile("vae/a.bin", 9, SHA)).files
    assert file.proven == (MS,)


def test_what_is_listed_without_a_digest_is_possible() -> None:
    (file,) = manifest(RemoteFile("vae/a.bin", 9), None).files
    assert (file.proven, file.possible, file.file) == ((), (HF,), FILE)


def test_a_file_that_may_differ_is_taken_as_it_is_listed_where_nobody_has_it() -> None:
    theirs = RemoteFile("vae/a.bin", 8, OTHER)
    (file,) = manifest(theirs, None, may_differ=True).files
    assert (file.proven, file.file) == ((HF,), theirs)
    (file,) = manifest(theirs, FILE, may_differ=True).files
    assert (file.proven, file.file) == ((MS,), FILE)
    (file,) = manifest(None, None, may_differ=True).files
    assert (file.proven, file.file) == ((), FILE)


def test_a_component_without_files_stays_one() -> None:
    made = recorded_component("vae", HF, "old", {}, {}, lambda path: False)
    assert (made.prefix, made.files) == ("", ())


def test_a_hub_that_did_not_answer_is_no_source() -> None:
    there = {MS: Snapshot(MS, REPO, "new", (RemoteFile("vae/a.bin", 9, SHA),))}
    (file,) = recorded_component("vae", HF, "old", {"a.bin": FILE}, there, lambda path: False).files
    assert (file.proven, file.possible) == ((MS,), ())


def test_a_file_that_may_differ_and_has_no_digest_there_is_still_the_recorded_one() -> None:
    (file,) = manifest(RemoteFile("vae/a.bin", 9, None, None), None, may_differ=True).files
    assert (file.file, file.proven, file.possible) == (FILE, (), (HF,))


@pytest.mark.parametrize(
    ("held", "listed"),
    [
        (FILE, RemoteFile("vae/a.bin", 9, None, GIT)),
        (FILE, RemoteFile("vae/a.bin", 9, SHA, None)),
        (RemoteFile("vae/a.bin", 9, None, GIT), FILE),
        (RemoteFile("vae/a.bin", 9, SHA, None), FILE),
    ],
)
def test_strictly_bytes_must_have_every_digest_that_is_recorded_or_listed(held: RemoteFile, listed: RemoteFile) -> None:
    there = {HF: Snapshot(HF, REPO, "new", (listed,))}
    for strict, wanted in ((True, FILE), (False, listed)):
        made = recorded_component("vae", HF, "old", {"a.bin": held}, there, lambda path: False, strict=strict)
        assert [(file.file, file.proven) for file in made.files] == [(wanted, (HF,))]
