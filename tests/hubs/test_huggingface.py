from __future__ import annotations

from typing import Any

import pytest

from acestep_fetch.core.errors import AccessError, Failure, IntegrityError, NotFoundError, UsageError
from acestep_fetch.core.model import HubName, RemoteFile, Snapshot
from acestep_fetch.hubs import HuggingFace, Patience
from acestep_fetch.hubs.account import no_login
from acestep_fetch.hubs.huggingface_wire import next_page
from acestep_fetch.transport.api import HttpxApi
from tests.hubs.contract import COMMIT, GIT, LARGE, REPO, SHA, HubContract, Speaking
from tests.hubs.scripted import Answer, Asked, FakeTime, ScriptedServer

API = f"/api/models/{REPO}"
INFO = Answer(200, {"id": str(REPO), "sha": COMMIT})


class HuggingFaceDialect:
    listing = f"{API}/tree/{COMMIT}"

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server

    def page(self, *rows: dict[str, Any], link: str | None = None) -> Answer:
        return Answer(200, list(rows), {"Link": link} if link else {})

    def row(self, path: object, size: object = 1) -> dict[str, Any]:
        return {"type": "file", "oid": GIT, "size": size, "path": path}

    def folder(self, path: str) -> dict[str, Any]:
        return {"type": "directory", "oid": GIT, "size": 0, "path": path}

    def large(self) -> dict[str, Any]:
        lfs = {"oid": SHA, "size": LARGE.size, "pointerSize": 135}
        return {**self.row(LARGE.path, LARGE.size), "lfs": lfs, "xetHash": "*" * 64}

    def publish(self, *rows: dict[str, Any]) -> None:
        self.server.on(f"{API}/revision/main", INFO)
        self.server.on(self.listing, self.page(*rows))

    def missing_repo(self) -> None:
        self.server.on(f"{API}/revision/main", Answer(401, headers={"X-Error-Code": "RepoNotFound"}))

    def missing_revision(self) -> None:
        self.server.on(f"{API}/revision/v9", Answer(404, headers={"X-Error-Code": "RevisionNotFound"}))

    def no_access(self) -> None:
        self.server.on(f"{API}/revision/main", Answer(403, headers={"X-Error-Code": "GatedRepo"}))

    def bad_token(self) -> None:
        def info(asked: Asked) -> Answer:
            text = "Invalid credentials in Authorization header"
            return Answer(401, {"error": text}) if "authorization" in asked.headers else INFO

        self.server.on(f"{API}/revision/main", info)


@pytest.fixture
def dialect(server: ScriptedServer) -> HuggingFaceDialect:
    return HuggingFaceDialect(server)


@pytest.fixture
def hub(api: HttpxApi, server: ScriptedServer, patience: Patience) -> Speaking:
    return HuggingFace(api, server.origin + "/", find_login=no_login, patience=patience, most_pages=5)


@pytest.fixture
def hub_with_token(api: HttpxApi, server: ScriptedServer, patience: Patience) -> Speaking:
    return HuggingFace(api, server.origin, "hf_secret", find_login=no_login, patience=patience)


class TestHuggingFace(HubContract):
    """The contract, in Hugging Face's dialect."""


async def test_small_files_have_a_git_id_and_large_ones_have_not(hub: HuggingFace, dialect: HuggingFaceDialect) -> None:
    dialect.publish(dialect.row("a.txt"), dialect.large())
    assert (await hub.list_files(REPO, None)).files == (RemoteFile("a.txt", 1, git_sha1=GIT), LARGE)


@pytest.mark.parametrize("digest", ["*" * 64, "abc", None, 7, GIT, ""])
async def test_a_masked_or_broken_digest_is_none(hub: HuggingFace, dialect: HuggingFaceDialect, digest: object) -> None:
    dialect.publish({**dialect.row("a.bin", 9), "lfs": {"oid": digest, "size": 9}})
    assert (await hub.list_files(REPO, None)).files == (RemoteFile("a.bin", 9),)


@pytest.mark.parametrize("lfs", [7, [], {"oid": SHA, "size": -1}, {"oid": SHA, "size": 10}])
async def test_a_broken_lfs_entry(hub: HuggingFace, dialect: HuggingFaceDialect, lfs: object) -> None:
    dialect.publish({**dialect.row("a.bin", 9), "lfs": lfs})
    with pytest.raises(IntegrityError):
        await hub.list_files(REPO, None)


async def test_asks_for_the_tree_at_the_commit_and_quotes_the_revision_whole(
    hub: HuggingFace, dialect: HuggingFaceDialect
) -> None:
    dialect.server.on(f"{API}/revision/refs%2Fpr%2F1", INFO)
    dialect.server.on(dialect.listing, dialect.page(dialect.large()))
    await hub.list_files(REPO, "refs/pr/1")
    assert dialect.server.paths() == [f"{API}/revision/refs%2Fpr%2F1", dialect.listing]
    assert dialect.server.asked[1].query == {"recursive": "true", "expand": "false"}


def info(*siblings: dict[str, Any]) -> Answer:
    return Answer(200, {"id": str(REPO), "sha": COMMIT, "siblings": list(siblings)})


def sibling(path: object, size: object = 1) -> dict[str, Any]:
    return {"rfilename": path, "blobId": GIT, "size": size}


LARGE_SIBLING = {**sibling(LARGE.path, LARGE.size), "lfs": {"sha256": SHA, "size": LARGE.size, "pointerSize": 135}}


async def test_one_answer_is_enough_for_few_files(hub: HuggingFace, dialect: HuggingFaceDialect) -> None:
    dialect.server.on(f"{API}/revision/main", info(sibling("a.txt"), LARGE_SIBLING))
    snapshot = await hub.list_files(REPO, None)
    assert (snapshot.commit, snapshot.files) == (COMMIT, (RemoteFile("a.txt", 1, git_sha1=GIT), LARGE))
    assert [(asked.path, asked.query) for asked in dialect.server.asked] == [
        (f"{API}/revision/main", {"blobs": "true"})
    ]


@pytest.mark.parametrize(
    "siblings",
    [
        [],
        [{"rfilename": "a"}],
        [sibling("a", None)],
        [sibling("../a")],
        [{**sibling("a"), "blobId": None}],
        [{**sibling("a", 9), "lfs": {"sha256": "*" * 64, "size": 9}}],
        [{**sibling("a", 9), "lfs": {"sha256": SHA, "size": 8}}],
        ["a"],
        [sibling(f"{n:04}") for n in range(1000)],
    ],
    ids=["none", "names", "size", "path", "digest", "masked", "two sizes", "no object", "many"],
)
async def test_siblings_that_leave_anything_open_are_not_believed(
    hub: HuggingFace, dialect: HuggingFaceDialect, siblings: list[Any]
) -> None:
    dialect.server.on(f"{API}/revision/main", info(*siblings))
    dialect.server.on(dialect.listing, dialect.page(dialect.large()))
    assert (await hub.list_files(REPO, None)).files == (LARGE,)


async def test_a_sibling_that_is_listed_twice(hub: HuggingFace, dialect: HuggingFaceDialect) -> None:
    dialect.server.on(f"{API}/revision/main", info(sibling("a"), sibling("a")))
    with pytest.raises(IntegrityError, match="a is listed twice"):
        await hub.list_files(REPO, None)


@pytest.mark.parametrize("host", ["ours", "https://huggingface.co", "relative"])
async def test_follows_pages_at_our_endpoint(hub: HuggingFace, dialect: HuggingFaceDialect, host: str) -> None:
    start = {"ours": dialect.server.origin, "relative": ""}.get(host, host)
    link = f'<{start}{dialect.listing}?cursor=x%3D&limit=1000>; rel="next"'
    dialect.publish()
    dialect.server.on(dialect.listing, dialect.page(dialect.large(), link=link), dialect.page(dialect.row("z")))
    assert len((await hub.list_files(REPO, None)).files) == 2
    assert dialect.server.asked[-1].query == {"cursor": "x=", "limit": "1000"}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://127.0.0.1:9/x?cursor=1", "another host"),
        ("file:///etc/passwd", "another host"),
        ("?recursive=true&expand=false", "no end"),
    ],
)
async def test_pages_that_lead_astray(hub: HuggingFace, dialect: HuggingFaceDialect, target: str, why: str) -> None:
    dialect.publish()
    dialect.server.on(dialect.listing, dialect.page(dialect.large(), link=f'<{target}>; rel="next"'))
    with pytest.raises(IntegrityError, match=why):
        await hub.list_files(REPO, None)


async def test_pages_without_end(hub: HuggingFace, dialect: HuggingFaceDialect) -> None:
    def page(asked: Asked) -> Answer:
        count = int(asked.query.get("cursor", "0")) + 1
        return dialect.page(dialect.row(str(count)), link=f'<?cursor={count}>; rel="next"')

    dialect.publish()
    dialect.server.on(dialect.listing, page)
    with pytest.raises(IntegrityError, match="no end"):
        await hub.list_files(REPO, None)
    assert len(dialect.server.asked) == 1 + 5


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (None, None),
        ("", None),
        ("nonsense", None),
        ('<a>; rel="prev"', None),
        ("<a>; rel=next", "a"),
        ('<a>; rel="prev", <b,c>; foo="x,y"; rel="last next"', "b,c"),
        ('<a>; REL="NEXT"', "a"),
    ],
)
def test_link_headers(link: str | None, target: str | None) -> None:
    assert next_page(link) == target


async def test_a_renamed_repository_is_found_and_remembered(hub: HuggingFace, dialect: HuggingFaceDialect) -> None:
    moved = "/api/models/ACE-Step/New"
    dialect.server.on(f"{API}/revision/main", Answer(307, headers={"Location": f"{moved}/revision/main"}))
    dialect.server.on(f"{moved}/revision/main", Answer(200, {"id": "ACE-Step/New", "sha": COMMIT}))
    dialect.server.on(f"{moved}/tree/{COMMIT}", dialect.page(dialect.large()))
    snapshot = await hub.list_files(REPO, None)
    assert snapshot.repo == REPO
    assert hub.locate(snapshot, "a").url == f"{dialect.server.origin}/ACE-Step/New/resolve/{COMMIT}/a"


@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "text"),
    [
        (401, {}, {}, NotFoundError, "missing or private"),
        (401, {}, {"error": "Repository not found"}, NotFoundError, "missing or private"),
        (404, {"X-Error-Code": "RepoNotFound"}, {}, NotFoundError, "missing or private"),
        (404, {}, {}, NotFoundError, "missing"),
        (401, {"X-Error-Code": "GatedRepo"}, {}, AccessError, "gated"),
        (403, {}, {}, AccessError, "HTTP 403"),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, {}, AccessError, "disabled"),
        (401, {}, {"error": "Invalid credentials in Authorization header"}, AccessError, "401"),
    ],
)
async def test_refusals(
    hub: HuggingFace,
    dialect: HuggingFaceDialect,
    status: int,
    headers: dict[str, str],
    body: object,
    error: type[Exception],
    text: str,
) -> None:
    dialect.server.on(f"{API}/revision/main", Answer(status, body, headers))
    with pytest.raises(error, match=text):
        await hub.list_files(REPO, None)


async def test_a_spent_window_is_waited_for(hub: HuggingFace, dialect: HuggingFaceDialect, time: FakeTime) -> None:
    dialect.publish(dialect.large())
    spent = Answer(429, headers={"RateLimit": '"api";r=0;t=12', "Retry-After": "1"})
    dialect.server.on(f"{API}/revision/main", spent, INFO)
    await hub.list_files(REPO, None)
    assert time.slept == [13.0]


async def test_the_whole_listing_is_bounded(api: HttpxApi, dialect: HuggingFaceDialect, time: FakeTime) -> None:
    dialect.publish()
    dialect.server.on(f"{API}/revision/main", Answer(503, headers={"Retry-After": "4"}))
    patience = Patience(total=10, sleep=time.sleep, clock=time.clock)
    with pytest.raises(Exception, match="503"):
        await HuggingFace(api, dialect.server.origin, find_login=no_login, patience=patience).list_files(REPO, None)
    assert time.slept == [4.0, 4.0]


@pytest.mark.parametrize(
    ("status", "headers", "body", "failure"),
    [
        (401, {}, b'{"error": "Invalid credentials in Authorization header"}', Failure.BAD_TOKEN),
        (401, {"x-error-code": "GatedRepo"}, b"", Failure.REFUSED),
        (404, {"x-error-code": "EntryNotFound"}, b"", Failure.MISSING),
    ],
)
def test_explains(hub: HuggingFace, status: int, headers: dict[str, str], body: bytes, failure: Failure) -> None:
    found = hub.explain(status, headers, body)
    assert found is not None
    assert found.failure is failure


def test_locates_below_a_mirrors_path(api: HttpxApi) -> None:
    hub = HuggingFace(api, "https://mirror.example/hf/", "", find_login=no_login)
    snapshot = Snapshot(HubName.HUGGINGFACE, REPO, "refs/pr/1", ())
    url = hub.locate(snapshot, "a b/ü#?.json").url
    assert url == f"https://mirror.example/hf/{REPO}/resolve/refs%2Fpr%2F1/a%20b/%C3%BC%23%3F.json"
    assert hub.endpoint == "https://mirror.example"


def test_the_default_endpoint_is_the_sdks(api: HttpxApi) -> None:
    from huggingface_hub.constants import ENDPOINT

    assert HuggingFace(api).endpoint == ENDPOINT


@pytest.mark.parametrize("text", ["ftp://x", "https://", "https://me:hf_secret@host", "https://h/?x=1", "http://h:x"])
def test_an_unusable_endpoint(api: HttpxApi, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        HuggingFace(api, text)
    assert "secret" not in str(caught.value)


SNAPSHOT = Snapshot(
    HubName.HUGGINGFACE,
    REPO,
    COMMIT,
    (
        RemoteFile("a/b c.json", 9, git_sha1=GIT),
        RemoteFile("d.json", 9, git_sha1="d" * 40),
        RemoteFile("empty.txt", 0, git_sha1="e" * 40),
        LARGE,
    ),
)
CACHED = f"/api/resolve-cache/models/{REPO}/{COMMIT}"
SEEN = (  # where the hub was seen to redirect
    f"{CACHED}/a/b%20c.json?%2FACE-Step%2FAce-Step1.5%2Fresolve%2F{COMMIT}%2Fa%2Fb%2520c.json=&etag=%22{GIT}%22"
)
RIGHT = {"x-repo-commit": COMMIT, "etag": f'"{GIT}"'}


def test_a_shortcut_is_where_the_redirect_would_lead(hub: HuggingFace, server: ScriptedServer) -> None:
    found = hub.shortcut(SNAPSHOT, "a/b c.json")
    assert found is not None
    assert found.url == server.origin + SEEN


@pytest.mark.parametrize("path", ["empty.txt", LARGE.path, "not/listed"])
def test_files_that_are_redirected_otherwise_or_not_at_all(path: str, hub: HuggingFace) -> None:
    assert hub.judge_shortcut(SNAPSHOT, "a/b c.json", RIGHT)
    assert hub.shortcut(SNAPSHOT, path) is None


@pytest.mark.parametrize("etag", [f'"{GIT}"', f'W/"{GIT}"'])
def test_a_shortcut_that_works_vouches_for_the_others(etag: str, hub: HuggingFace) -> None:
    assert not hub.has_shortcuts(SNAPSHOT)
    assert hub.judge_shortcut(SNAPSHOT, "a/b c.json", {**RIGHT, "etag": etag})
    assert hub.has_shortcuts(SNAPSHOT)
    assert hub.shortcut(SNAPSHOT, "d.json") is not None


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"etag": f'"{GIT}"'},
        {"x-repo-commit": COMMIT},
        {**RIGHT, "etag": '"' + "f" * 40 + '"'},
        {**RIGHT, "x-repo-commit": "f" * 40},
    ],
)
@pytest.mark.parametrize("worked", [False, True])
def test_a_shortcut_that_does_not_work_is_the_last(
    headers: dict[str, str] | None, worked: bool, hub: HuggingFace
) -> None:
    if worked:
        assert hub.judge_shortcut(SNAPSHOT, "a/b c.json", RIGHT)
    assert not hub.judge_shortcut(SNAPSHOT, "a/b c.json", headers)
    hub.judge_shortcut(SNAPSHOT, "a/b c.json", RIGHT)  # the late answer of one that was under way
    assert not hub.has_shortcuts(SNAPSHOT)
    assert hub.shortcut(SNAPSHOT, "d.json") is None


def test_a_shortcut_carries_the_token_to_our_origin(hub_with_token: HuggingFace, server: ScriptedServer) -> None:
    found = hub_with_token.shortcut(SNAPSHOT, "d.json")
    assert found is not None
    assert found.headers == hub_with_token.locate(SNAPSHOT, "d.json").headers
