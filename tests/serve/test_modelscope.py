from __future__ import annotations

import hashlib
from pathlib import Path

import aiohttp
import pytest

from tests.serve.ask import ask
from tests.serve.conftest import BIG, FILES, REPO
from tests.support.hub import ServedHub, serving
from tests.support.trees import make_repo


def api(hub: ServedHub, rest: str) -> str:
    return f"{hub.url}/api/v1/models/{REPO}{rest}"


async def test_a_listing_has_sha256_for_every_file(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    said = (await ask(web, api(hub, "/repo/files?Revision=master&Recursive=True"))).json
    assert (said["Code"], said["Success"]) == (200, True)
    rows = {row["Path"]: row for row in said["Data"]["Files"]}
    for path, content in FILES.items():
        assert isinstance(content, bytes)
        assert (rows[path]["Type"], rows[path]["Size"]) == ("blob", len(content))
        assert rows[path]["Sha256"] == hashlib.sha256(content).hexdigest()
        assert rows[path]["Name"] == path.rpartition("/")[2]
        assert len(rows[path]["Revision"]) == 40
    folders = {path for path, row in rows.items() if row["Type"] == "tree"}
    assert folders == {"sub", "sub/deep"}
    assert all(rows[path]["Sha256"] == "" and rows[path]["Size"] == 0 for path in folders)


async def test_parameters_are_case_sensitive(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    said = (await ask(web, api(hub, "/repo/files?Revision=master&recursive=true"))).json
    assert {row["Path"] for row in said["Data"]["Files"]} == {"config.json", "empty.txt", ".gitattributes", "sub"}
    below = (await ask(web, api(hub, "/repo/files?Root=sub&Recursive=true"))).json
    assert {row["Path"] for row in below["Data"]["Files"]} == {
        "sub/deep",
        "sub/deep/übung 1.txt",
        "sub/model.safetensors",
    }


async def test_a_listing_is_cut_without_a_word(web: aiohttp.ClientSession, tmp_path: Path) -> None:
    make_repo(tmp_path, REPO, {f"{n:03}.txt": 1 for n in range(25)})
    async with serving(tmp_path, listed_at_most=10) as hub:
        said = (await ask(web, api(hub, "/repo/files?Recursive=True"))).json
    assert (said["Code"], len(said["Data"]["Files"])) == (200, 10)


async def test_revisions_and_commits(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    map_ = (await ask(web, api(hub, "/revisions"))).json["Data"]["RevisionMap"]
    assert ([row["Revision"] for row in map_["Branches"]], map_["Tags"]) == (["master"], [])
    commit = (await ask(web, api(hub, "/commits?Ref=master"))).json["Data"]["Commit"][0]["Id"]
    assert commit == (await ask(web, f"{hub.url}/api/models/{REPO}")).json["sha"]
    pinned = (await ask(web, api(hub, f"/repo/files?Revision={commit}"))).json["Data"]
    assert pinned["LatestCommitter"]["ShortId"] == commit[:8]
    assert (await ask(web, api(hub, "/commits?Ref=no"))).json["Data"]["Commit"] is None


async def test_an_unknown_revision_is_a_success_without_files(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    for revision in ("main", "v9", "0" * 40):
        answer = await ask(web, api(hub, f"/repo/files?Revision={revision}&Recursive=True"))
        assert (answer.status, answer.json["Code"], answer.json["Data"]["Files"]) == (200, 200, None)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("/api/v1/models/ACE-Step/nothing/repo/files", 10010205001),
        ("/api/v1/models/ACE-Step/nothing", 10010205001),
        (f"/api/v1/models/{REPO}/repo?Revision=master&FilePath=no", 10990101007),
        (f"/models/{REPO}/resolve/master/no", 10990101007),
        (f"/api/v1/models/{REPO}/repo?Revision=v9&FilePath=config.json", 10990101004),
        (f"/api/v1/models/{REPO}/repo/files?Root=nowhere", 10990101004),
    ],
)
async def test_refusals_have_the_hubs_codes(web: aiohttp.ClientSession, hub: ServedHub, url: str, code: int) -> None:
    answer = await ask(web, hub.url + url)
    assert (answer.status, answer.json["Code"], answer.json["Success"]) == (404, code, False)


@pytest.mark.parametrize("form", ["/api/v1/models/{}/repo?Revision=master&FilePath={}", "/models/{}/resolve/master/{}"])
async def test_a_large_file_redirects_and_takes_real_ranges(
    web: aiohttp.ClientSession, hub: ServedHub, form: str
) -> None:
    url = hub.url + form.format(REPO, "sub/model.safetensors")
    first = await ask(web, url)
    assert first.status == 302
    assert "auth_key=" in first.location
    part = await ask(web, first.location, Range="bytes=5-9")
    assert (part.status, part.body) == (206, BIG[5:10])
    assert part.headers["X-Linked-ETag"] == f'"{hashlib.sha256(BIG).hexdigest()}"'
    head = await ask(web, url, "HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BIG)))


async def test_the_gateway_answers_200_to_a_bounded_range_and_ignores_an_open_one(
    web: aiohttp.ClientSession, hub: ServedHub
) -> None:
    url = api(hub, "/repo?Revision=master&FilePath=sub%2Fdeep%2F%C3%BCbung+1.txt")
    whole = await ask(web, url)
    assert (whole.status, whole.body) == (200, b"hello")
    bounded = await ask(web, url, Range="bytes=1-3")
    assert (bounded.status, bounded.body, bounded.headers["Content-Range"]) == (200, b"ell", "bytes 1-3/5")
    opened = await ask(web, url, Range="bytes=3-")
    assert (opened.status, opened.body) == (200, b"hello")
    assert "Content-Range" not in opened.headers
    assert (await ask(web, url, Range="bytes=9-11")).status == 416


async def test_the_small_calls(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    opened = (await ask(web, f"{hub.url}/openapi/v1/models/{REPO}")).json
    assert (opened["success"], opened["data"]["id"]) == (True, REPO)
    assert (await ask(web, f"{hub.url}/api/v1/repos/internalAccelerationInfo")).json["Data"] == {}
    assert (await ask(web, api(hub, ""))).json["Data"]["Name"] == "small"
