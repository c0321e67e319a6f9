"""Two listings become one manifest: versions are never mixed, and a source is proven only by a digest."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.merge import (
    Agreement,
    ComponentManifest,
    agreement,
    is_furniture,
    merge_component,
    split_by_folder,
)
from acestep_fetch.core.model import HubName, RemoteFile, RepoId, Snapshot

HF, MS = HubName.HUGGINGFACE, HubName.MODELSCOPE
REPO = RepoId("ACE-Step", "x")
A, B = "a" * 64, "b" * 64
OID, OID2 = "1" * 40, "2" * 40


def f(path: str, size: int = 1, sha256: str | None = A, git: str | None = None) -> RemoteFile:
    return RemoteFile(path, size, sha256, git)


def snapshot(hub: HubName, *files: RemoteFile) -> Snapshot:
    return Snapshot(hub, REPO, f"commit-{hub}", files)


def merged(
    hf: tuple[RemoteFile, ...] | None, ms: tuple[RemoteFile, ...] | None, order: tuple[HubName, ...] = (HF, MS)
) -> ComponentManifest | None:
    given = {hub: snapshot(hub, *files) for hub, files in ((HF, hf), (MS, ms)) if files is not None}
    return merge_component("x", "", given, order)


def truth_of(hf: tuple[RemoteFile, ...], ms: tuple[RemoteFile, ...], order: tuple[HubName, ...] = (HF, MS)) -> HubName:
    manifest = merged(hf, ms, order)
    assert manifest is not None
    return manifest.truth


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (f("p"), f("p"), Agreement.EQUAL),
        (f("p"), f("p", sha256=B), Agreement.DIFFERENT),
        (f("p"), f("p", size=2), Agreement.DIFFERENT),
        (f("p", sha256=None, git=OID), f("p"), Agreement.UNKNOWN),
        (f("p", sha256=None, git=OID), f("p", sha256=None, git=OID), Agreement.EQUAL),
        (f("p", sha256=None, git=OID), f("p", sha256=None, git=OID2), Agreement.DIFFERENT),
        (f("p", git=OID), f("p", git=OID2), Agreement.DIFFERENT),  # one of the listings lies
        (f("p", git=OID), f("p"), Agreement.EQUAL),
        (f("p", sha256=None), f("p", sha256=None), Agreement.UNKNOWN),
        (f("p", sha256=None, git=OID, size=2), f("p"), Agreement.DIFFERENT),
    ],
)
def test_agreement_needs_equal_sizes_and_digests_of_one_kind(
    one: RemoteFile, other: RemoteFile, verdict: Agreement
) -> None:
    assert agreement(one, other) is agreement(other, one) is verdict


FULL = (f("config.json"), f("model.safetensors"))


@pytest.mark.parametrize(
    ("hf", "ms", "truth"),
    [
        (FULL, FULL, HF),
        (FULL[:1], FULL, MS),  # an upload that stopped half-way
        ((f("README.md"),), FULL, MS),
        ((*FULL[:1], f("README.md", sha256=B)), (*FULL, f("README.md")), MS),  # furniture may differ
        (FULL[:1], (*FULL[:1], f("README.md")), HF),  # furniture may be missing
        (FULL[:1], (*FULL[:1], f("sub/LICENSE"), f("configuration.json")), HF),
        ((f("config.json", sha256=B),), FULL, HF),  # another version: keeps its own word
        ((f("config.json", size=9),), FULL, HF),
        ((f("config.json", sha256=None, git=OID),), FULL, MS),  # may be equal: incomplete
        ((f("config.json"), f("old.bin")), FULL, HF),  # each lacks something: no copy of the other
        (
            (f("a.bin", sha256=None), f("README.md")),
            (f("a.bin"),),
            MS,
        ),  # nobody could prove a.bin; furniture is no loss
    ],
)
def test_an_incomplete_upload_is_not_the_truth(
    hf: tuple[RemoteFile, ...], ms: tuple[RemoteFile, ...], truth: HubName
) -> None:
    assert truth_of(hf, ms) is truth
    assert truth_of(ms, hf, (MS, HF)) is (truth.other)  # the rule does not depend on the hub


@pytest.mark.parametrize("component", ["x", ""])
@pytest.mark.parametrize(("lacking", "named"), [(1, "1"), (3, "1, 2, 3"), (4, "1, 2, 3 and more")])
def test_an_incomplete_upload_is_said_aloud(lacking: int, named: str, component: str) -> None:
    listed = {HF: snapshot(HF, f("0")), MS: snapshot(MS, *(f(str(n)) for n in range(lacking + 1)))}
    manifest = merge_component(component, "", listed, (HF, MS))
    assert manifest is not None
    what = component or "the root files"
    assert manifest.notes == (f"Hugging Face lacks {named}: {what} taken from ModelScope",)


def test_a_twin_teaches_either_digest() -> None:
    full, only_sha, only_git = f("p", git=OID), f("p"), f("p", sha256=None, git=OID)
    for known in (only_sha, only_git):
        manifest = merged((known,), (full,))
        assert manifest is not None
        assert manifest.files[0].file == full


def test_the_digest_of_the_other_kind_is_learnt_from_a_proven_twin_only() -> None:
    manifest = merged((f("big"), f("small", sha256=None, git=OID)), (f("big", git=OID2), f("small")))
    assert manifest is not None
    big, small = manifest.files
    assert (big.file, big.proven, big.possible) == (f("big", git=OID2), (HF, MS), ())
    assert (small.file, small.proven, small.possible) == (f("small", sha256=None, git=OID), (HF,), (MS,))


def test_without_a_listing_there_is_no_manifest() -> None:
    assert merged(None, None) is None
    assert merged((), ()) is None
    only = merged(None, FULL)
    assert only is not None
    assert (only.truth, only.commit) == (MS, "commit-modelscope")


def test_a_repository_of_components_is_split_by_its_folders() -> None:
    snapshots = [
        snapshot(HF, f("vae/a"), f("README.md"), f("lm/deep/b"), f("vaester/c")),
        snapshot(MS, f("vae/a"), f("extra/d")),
    ]
    parts = split_by_folder(snapshots, ["vae", "gone"])
    assert parts == (
        ("vae", "vae/"), ("gone", "gone/"), ("", ""), ("lm", "lm/"), ("vaester", "vaester/"), ("extra", "extra/")
    )  # fmt: skip
    listed = {s.hub: s for s in snapshots}
    manifests = {name: merge_component(name, prefix, listed, (HF, MS)) for name, prefix in parts}
    assert {name: m and [file.path for file in m.files] for name, m in manifests.items()} == {
        "vae": ["a"], "gone": None, "": ["README.md"], "lm": ["deep/b"], "vaester": ["c"], "extra": ["d"]
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["README.md", "a/b/readme.MD", ".gitattributes", ".gitignore", "x/configuration.json", "LICENSE", "a/License.md"],
)
def test_furniture_is_known_anywhere_and_in_any_case(path: str) -> None:
    assert is_furniture(path)
    assert not is_furniture(f"{path}/weights.bin")


files = st.builds(
    RemoteFile,
    path=st.sampled_from(["config.json", "m.safetensors", "sub/w.bin", "README.md", "x.py"]),
    size=st.integers(0, 2),
    sha256=st.sampled_from([None, A, B]),
    git_sha1=st.sampled_from([None, OID, OID2]),
)
listings = st.none() | st.lists(files, max_size=5, unique_by=lambda file: file.path).map(tuple)
orders = st.permutations([HF, MS]).map(tuple)


@settings(deadline=None, max_examples=400)
@given(hf=listings, ms=listings, order=orders)
def test_versions_are_never_mixed_and_every_proven_source_has_the_same_bytes(
    hf: tuple[RemoteFile, ...] | None, ms: tuple[RemoteFile, ...] | None, order: tuple[HubName, ...]
) -> None:
    listed: Mapping[HubName, dict[str, RemoteFile]] = {
        HF: {x.path: x for x in hf or ()},
        MS: {x.path: x for x in ms or ()},
    }
    manifest = merged(hf, ms, order)
    if manifest is None:
        assert not hf
        assert not ms
        return
    truth = listed[manifest.truth]
    assert manifest.commit == f"commit-{manifest.truth}"
    assert {x.path for x in manifest.files} == truth.keys()  # all of one snapshot, nothing of the other
    assert manifest.size == sum(x.size for x in truth.values())
    for file in manifest.files:
        own = truth[file.path]
        assert file.file.size == own.size
        assert own.sha256 in (None, file.file.sha256)
        assert own.git_sha1 in (None, file.file.git_sha1)
        assert file.proven[0] is manifest.truth
        assert not set(file.proven) & set(file.possible)
        for hub in file.proven[1:]:
            assert agreement(own, listed[hub][file.path]) is Agreement.EQUAL
        for hub in file.possible:
            assert agreement(own, listed[hub][file.path]) is Agreement.UNKNOWN
        if file.proven == (manifest.truth,):
            assert file.file == own  # an unproven twin teaches nothing


@pytest.mark.parametrize(("component", "what"), [("x", "x"), ("", "the root files")])
def test_a_list_without_a_digest_gives_way_to_one_that_has_all(component: str, what: str) -> None:
    blank = f("a.bin", sha256=None)
    listed = {HF: snapshot(HF, f("b.bin", sha256=None), blank), MS: snapshot(MS, f("a.bin"), f("b.bin"))}
    manifest = merge_component(component, "", listed, (HF, MS))
    assert manifest is not None
    assert manifest.truth is MS
    assert manifest.notes == (f"Hugging Face lists no digest for a.bin: {what} taken from ModelScope",)


def test_a_list_without_a_digest_stands_where_the_other_is_no_better() -> None:
    blank = f("a.bin", sha256=None)
    assert truth_of((blank,), (blank,)) is HF
    assert truth_of((blank, f("b.bin")), (f("a.bin"),)) is HF  # that one is not all there is
    assert truth_of((f("a.bin"),), (blank,)) is HF
