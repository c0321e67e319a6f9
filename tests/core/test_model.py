"""Names and digests."""

from __future__ import annotations

import hashlib

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, Digest, HubName, RemoteFile, RepoId, Snapshot

REFUSED = [
    "", "/", "a", "a/", "/b", "a/b/c", "a//b", "../b", "a/..", "a/.", "./b", "a/.git", "a/b.", "a./b", "a--b/c",
    "a/b--c", "a/b..c", "a b/c", "a/b c", "a/b\n", "a/b\0", "a\\b", "https://huggingface.co/a/b", "a/b?x=1", "a/b#x",
    "a/b@main", "a/%2e%2e", f"a/{'x' * 97}", "a/b.git",
    "a.git/b",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_is_not_owner_and_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        RepoId.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["ACE-Step/Ace-Step1.5", "a/b", "a_b/c.d", "x/1", f"a/{'x' * 96}", "ACE-Step/5Hz-lm_1.7B"]
)
def test_what_hubs_accept_is_kept_letter_for_letter(text: str) -> None:
    assert str(RepoId.parse(text)) == text


def hub_accepts(text: str) -> bool:
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


@settings(deadline=None, max_examples=500, derandomize=True)
@given(st.text(alphabet="aB1-_.gitx/", max_size=12).filter(lambda text: text.count("/") == 1))
def test_whatever_the_hubs_own_client_refuses_is_refused(text: str) -> None:
    try:
        RepoId.parse(text)
    except UsageError:
        return
    assert hub_accepts(text)


def test_hubs_know_each_other_and_their_titles() -> None:
    assert all({hub, hub.other} == set(HubName) for hub in HubName)
    assert [hub.title for hub in HubName] == ["Hugging Face", "ModelScope"]
    assert all(hub.other.other is hub for hub in HubName)


def test_the_stronger_digest_decides() -> None:
    sha, git = "a" * 64, "b" * 40
    assert RemoteFile("p", 1, sha, git).digest == Digest("sha256", sha)
    assert RemoteFile("p", 1, None, git).digest == Digest("git-sha1", git)
    assert RemoteFile("p", 1).digest is None
    assert [d.kind for d in RemoteFile("p", 1, sha, git).digests] == ["sha256", "git-sha1"]


@given(st.binary())
def test_the_hex_of_a_digest_is_known_by_its_length(content: bytes) -> None:
    sha256, sha1 = hashlib.sha256(content).hexdigest(), hashlib.sha1(content).hexdigest()
    for pattern, right, wrong in ((SHA256_HEX, sha256, sha1), (SHA1_HEX, sha1, sha256)):
        assert pattern.fullmatch(right)
        assert not any(map(pattern.fullmatch, (wrong, right[1:], f"{right}0", right[:-1] + "g", right[:-1] + "A", "")))


@given(st.sets(st.text()))
def test_a_snapshot_finds_each_of_its_files(paths: set[str]) -> None:
    snapshot = Snapshot(HubName.MODELSCOPE, RepoId("a", "b"), "c", tuple(RemoteFile(path, 1) for path in paths))
    assert snapshot.by_path.keys() == paths
    assert all(file.path == path for path, file in snapshot.by_path.items())


def test_digests_name_their_kind() -> None:
    digest = Digest("git-sha1", "0123456789abcdef" + "0" * 24)
    assert (str(digest), digest.short) == (f"git-sha1:{digest.hex}", "git-sha1:0123456789ab")
