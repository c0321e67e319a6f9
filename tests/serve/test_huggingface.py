from __future__ import annotations

import hashlib
from pathlib import Path

import aiohttp
import pytest

from tests.serve.ask import ask
from tests.serve.conftest import BIG, FILES, REPO
from tests.support.hub import ServedHub, serving
from tests.support.trees import make_repo


def blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


async def commit(web: aiohttp.ClientSession, hub: ServedHub) -> str:
    return str((await ask(web, f"{hub.url}/api/models/{REPO}")).json["sha"])


async def test_the_commit_follows_from_the_content(web: aiohttp.ClientSession, hub: ServedHub, tmp_path: Path) -> None:
    make_repo(tmp_path / "copy", REPO, FILES)
    make_repo(tmp_path / "other", REPO, {**FILES, "config.json": b"{}"})
    async with serving(tmp_path / "copy") as copy, serving(tmp_path / "other") as other:
        assert await commit(web, hub) == await commit(web, copy) != await commit(web, other)


@pytest.mark.parametrize("revision", ["main", "COMMIT"])
async def test_info_lists_the_files_with_their_hashes(
    web: aiohttp.ClientSession, hub: ServedHub, revision: str
) -> None:
    revision = revision.replace("COMMIT", await commit(web, hub))
    info = (await ask(web, f"{hub.url}/api/models/{REPO}/revision/{revision}?blobs=true")).json
    siblings = {row["rfilename"]: row for row in info["siblings"]}
    assert siblings.keys() == FILES.keys()
    assert siblings["config.json"] == {
        "rfilename": "config.json",
        "blobId": blob_sha1(b'{"a": 1}'),
        "size": 8,
    }
    large = siblings["sub/model.safetensors"]
    sha256 = hashlib.sha256(BIG).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(BIG)}\n".encode()
    assert large["blobId"] == blob_sha1(pointer)
    assert large["lfs"] == {"sha256": sha256, "size": len(BIG), "pointerSize": len(pointer)}


async def test_a_tree_has_folders_and_marks_lfs_files_only(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    rows = (await ask(web, f"{hub.url}/api/models/{REPO}/tree/main?recursive=true")).json
    by_path = {row["path"]: row for row in rows}
    assert by_path.keys() == FILES.keys() | {"sub", "sub/deep"}
    assert by_path["sub"]["type"] == "directory"
    assert [path for path, row in by_path.items() if "lfs" in row] == ["sub/model.safetensors"]
    assert by_path["sub/model.safetensors"]["lfs"]["oid"] == hashlib.sha256(BIG).hexdigest()
    assert by_path["config.json"]["oid"] == blob_sha1(b'{"a": 1}')


async def test_a_tree_can_be_asked_for_one_folder(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    flat = (await ask(web, f"{hub.url}/api/models/{REPO}/tree/main/sub")).json
    assert [row["path"] for row in flat] == ["sub/deep", "sub/model.safetensors"]
    deep = (await ask(web, f"{hub.url}/api/models/{REPO}/tree/main/sub%2Fdeep?recursive=true")).json
    assert [row["path"] for row in deep] == ["sub/deep/übung 1.txt"]
    missing = await ask(web, f"{hub.url}/api/models/{REPO}/tree/main/nowhere")
    assert (missing.status, missing.headers["X-Error-Code"]) == (404, "EntryNotFound")


async def test_a_tree_comes_in_pages_that_link_on(web: aiohttp.ClientSession, tmp_path: Path) -> None:
    make_repo(tmp_path, REPO, {f"{n:03}.txt": 1 for n in range(25)})
    async with serving(tmp_path, page=10) as hub:
        url, sizes, paths = f"{hub.url}/api/models/{REPO}/tree/main?recursive=true", [], []
        while url:
            page = await ask(web, url)
            sizes.append(len(page.json))
            paths += [row["path"] for row in page.json]
            link = page.headers.get("Link", "")
            assert not link or link.endswith('; rel="next"')
            url = link.partition(">")[0].lstrip("<")
    assert sizes == [10, 10, 5]
    assert paths == [f"{n:03}.txt" for n in range(25)]


async def test_paths_info_leaves_unknown_paths_out(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    form = aiohttp.FormData([("paths", "config.json"), ("paths", "no"), ("paths", "sub"), ("expand", "true")])
    async with web.post(f"{hub.url}/api/models/{REPO}/paths-info/main", data=form) as reply:
        rows = await reply.json()
    assert [(row["type"], row["path"]) for row in rows] == [("file", "config.json"), ("directory", "sub")]
    assert rows[0]["lastCommit"]["id"] == await commit(web, hub)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_large_file_redirects_to_signed_bytes(web: aiohttp.ClientSession, hub: ServedHub, method: str) -> None:
    sha256 = hashlib.sha256(BIG).hexdigest()
    first = await ask(web, f"{hub.url}/{REPO}/resolve/main/sub/model.safetensors", method)
    assert first.status == 302
    assert first.headers["X-Linked-Size"] == str(len(BIG))
    assert first.headers["X-Linked-ETag"] == f'"{sha256}"'
    assert first.headers["X-Repo-Commit"] == await commit(web, hub)
    assert first.location.startswith(f"{hub.url}/lfs/{sha256}?")
    second = await ask(web, first.location, method)
    assert second.status == 200
    assert second.headers["ETag"] == f'"{sha256}"'
    assert second.headers["Content-Length"] == str(len(BIG))
    assert second.headers["X-Repo-Commit"] == await commit(web, hub)
    assert second.body == (BIG if method == "GET" else b"")


async def test_a_small_file_goes_by_the_resolvers_cache(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    first = await ask(web, f"{hub.url}/{REPO}/resolve/main/sub/deep/%C3%BCbung%201.txt")
    assert first.status == 307
    assert first.location.startswith(f"/api/resolve-cache/models/{REPO}/{await commit(web, hub)}/sub/deep/")
    assert first.headers["RateLimit"].startswith('"resolvers";r=')
    second = await ask(web, hub.url + first.location)
    assert (second.status, second.body) == (200, b"hello")
    assert second.headers["ETag"] == f'"{blob_sha1(b"hello")}"'
    again = await ask(web, hub.url + first.location, If_None_Match=second.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    part = await ask(web, hub.url + first.location, Range="bytes=1-2")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"el", "bytes 1-2/5")


async def test_an_empty_file_comes_at_once(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    answer = await ask(web, f"{hub.url}/{REPO}/resolve/main/empty.txt")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("/api/models/ACE-Step/nothing", 401, "RepoNotFound"),
        ("/ACE-Step/nothing/resolve/main/config.json", 401, "RepoNotFound"),
        (f"/api/models/{REPO}/revision/refs%2Fpr%2F1", 404, "RevisionNotFound"),
        (f"/api/models/{REPO}/revision/master", 404, "RevisionNotFound"),
        (f"/{REPO}/resolve/{'0' * 40}/config.json", 404, "RevisionNotFound"),
        (f"/{REPO}/resolve/main/no.json", 404, "EntryNotFound"),
        (f"/{REPO}/resolve/main/sub", 404, "EntryNotFound"),
    ],
)
async def test_refusals_have_the_hubs_codes(
    web: aiohttp.ClientSession, hub: ServedHub, url: str, status: int, code: str
) -> None:
    answer = await ask(web, hub.url + url)
    assert (answer.status, answer.headers["X-Error-Code"]) == (status, code)
    assert "error" in answer.json
    assert ("X-Repo-Commit" in answer.headers) == (code == "EntryNotFound")


async def test_an_empty_folder_is_no_repository(web: aiohttp.ClientSession, shelf: Path) -> None:
    (shelf / "ACE-Step/empty").mkdir()
    async with serving(shelf) as hub:
        answer = await ask(web, f"{hub.url}/api/models/ACE-Step/empty")
        assert (answer.status, answer.headers["X-Error-Code"]) == (401, "RepoNotFound")
        assert (await ask(web, f"{hub.url}/api/v1/models/ACE-Step/empty/repo/files")).json["Code"] == 10010205001


async def test_a_wrong_case_or_an_old_name_redirects(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, renamed={"old/name": REPO}) as hub:
        for asked in ("ace-step/SMALL", "Old/Name"):
            answer = await ask(web, f"{hub.url}/api/models/{asked}/tree/main?recursive=true")
            assert (answer.status, answer.location) == (307, f"/api/models/{REPO}/tree/main?recursive=true")
            answer = await ask(web, f"{hub.url}/{asked}/resolve/main/config.json")
            assert (answer.status, answer.location) == (307, f"/{REPO}/resolve/main/config.json")


async def test_a_commit_stays_after_the_folder_changed(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, rescan_after=0) as hub:
        before = await commit(web, hub)
        (shelf / REPO / "new.txt").write_text("new")
        assert await commit(web, hub) != before
        tree = (await ask(web, f"{hub.url}/api/models/{REPO}/tree/{before}?recursive=true")).json
        assert "new.txt" not in {row["path"] for row in tree}
        assert (await ask(web, f"{hub.url}/{REPO}/resolve/{before}/config.json")).status == 307
        (shelf / REPO / "config.json").write_text("changed since")
        assert (await ask(web, f"{hub.url}/{REPO}/resolve/{before}/config.json")).status == 404
