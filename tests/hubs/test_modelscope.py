from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acestep_fetch.core.errors import AccessError, Failure, IntegrityError, NetworkError, NotFoundError
from acestep_fetch.core.model import HubName, RemoteFile, Snapshot
from acestep_fetch.hubs import ModelScope, Patience
from acestep_fetch.hubs.account import Login, no_login
from acestep_fetch.hubs.modelscope import SITES, _sites
from acestep_fetch.transport.api import HttpxApi
from tests.hubs.contract import COMMIT, LARGE, REPO, SHA, HubContract, Speaking
from tests.hubs.scripted import Answer, Asked, FakeTime, ScriptedServer

API = f"/api/v1/models/{REPO}"
FILES, COMMITS, REVISIONS = f"{API}/repo/files", f"{API}/commits", f"{API}/revisions"
DATABASE = "record not found: Error 1461: Can't create more than max_prepared_stmt_count statements"


def ok(data: object) -> Answer:
    return Answer(200, {"Code": 200, "Data": data, "Message": "success", "RequestId": "r", "Success": True})


def error(status: int, code: int, message: str = "") -> Answer:
    return Answer(status, {"Code": code, "Data": None, "Message": message, "RequestId": "r", "Success": False})


class ModelScopeDialect:
    listing = FILES

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server

    def page(self, *rows: dict[str, Any], head: object = COMMIT[:8]) -> Answer:
        return ok({"Files": list(rows) or None, "LatestCommitter": {"Id": "", "ShortId": head}})

    def row(self, path: object, size: object = 1) -> dict[str, Any]:
        return {"Path": path, "Type": "blob", "Size": size, "Sha256": "d" * 64, "IsLFS": False, "Mode": "33188"}

    def folder(self, path: str) -> dict[str, Any]:
        return {"Path": path, "Type": "tree", "Size": 0, "Sha256": ""}

    def large(self) -> dict[str, Any]:
        return {**self.row(LARGE.path, LARGE.size), "Sha256": SHA}

    def publish(self, *rows: dict[str, Any]) -> None:
        self.server.on(FILES, self.page(*rows))
        self.server.on(COMMITS, ok({"Commit": [{"Id": COMMIT}]}))
        self.knows("master")

    def knows(self, *branches: str) -> None:
        found = {"Branches": [{"Revision": name} for name in branches], "Tags": [{"Revision": "v1"}]}
        self.server.on(REVISIONS, ok({"RevisionMap": found}))

    def missing_repo(self) -> None:
        self.server.on(FILES, error(404, 10010205001, "model record not found"))

    def missing_revision(self) -> None:
        self.server.on(FILES, self.page())
        self.knows("master")

    def no_access(self) -> None:
        self.server.on(FILES, error(404, 10010200001, "no access"))

    def bad_token(self) -> None:
        def files(asked: Asked) -> Answer:
            return error(400, 10010103009) if "authorization" in asked.headers else self.page(self.large())

        self.server.on(FILES, files)


@pytest.fixture
def dialect(server: ScriptedServer) -> ModelScopeDialect:
    return ModelScopeDialect(server)


@pytest.fixture
def hub(api: HttpxApi, server: ScriptedServer, patience: Patience) -> Speaking:
    return ModelScope(api, server.origin + "/", find_login=no_login, patience=patience, listing_cap=5)


@pytest.fixture
def hub_with_token(api: HttpxApi, server: ScriptedServer, patience: Patience) -> Speaking:
    return ModelScope(api, server.origin, "hf_secret", find_login=no_login, patience=patience)


class TestModelScope(HubContract):
    """The contract, in ModelScope's dialect."""


async def test_asks_with_the_exact_names(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.publish(dialect.large())
    await hub.list_files(REPO, "main")
    assert {asked.path: asked.query for asked in dialect.server.asked} == {
        FILES: {"Revision": "master", "Recursive": "True"},
        COMMITS: {"Ref": "master", "PageNumber": "1", "PageSize": "1"},
    }
    assert len(dialect.server.asked) == 2


async def test_list_and_commit_are_asked_for_at_once(
    api: HttpxApi, dialect: ModelScopeDialect, server: ScriptedServer
) -> None:
    """Each waits at the hub until the other is there: in turn they would never be answered."""
    both = asyncio.Barrier(2)
    dialect.publish(dialect.large())
    server.hold = both.wait
    hub = ModelScope(api, server.origin, find_login=no_login, patience=Patience(attempts=1, request=5.0))
    assert (await hub.list_files(REPO, None)).commit == COMMIT


async def test_a_listing_that_fails_waits_for_no_commit(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.missing_repo()
    dialect.server.on(COMMITS, Answer(hang=True))
    with pytest.raises(NotFoundError, match="missing"):
        await hub.list_files(REPO, None)


@pytest.mark.parametrize("digest", ["", None, "*" * 64, "abc", 7])
async def test_a_missing_digest_is_none(hub: ModelScope, dialect: ModelScopeDialect, digest: object) -> None:
    dialect.publish({**dialect.row("a"), "Sha256": digest})
    assert (await hub.list_files(REPO, None)).files == (RemoteFile("a", 1),)


@pytest.mark.parametrize(
    "commits",
    [
        error(500, 500),
        error(404, 10010205001, "record not found"),
        ok({"Commit": None}),
        ok({"Commit": [{"Id": "f" * 40}]}),
        ok({"Commit": [{"Id": "short"}]}),
        ok([]),
        Answer(200, b"<html>"),
        Answer(hang=True),
    ],
)
async def test_without_a_commit_that_both_name_the_revision_is_the_pin(
    hub: ModelScope, dialect: ModelScopeDialect, commits: Answer
) -> None:
    dialect.publish(dialect.large())
    dialect.server.on(COMMITS, commits)
    snapshot = await hub.list_files(REPO, None)
    assert (snapshot.commit, snapshot.files) == ("master", (LARGE,))


@pytest.mark.parametrize(("again", "commit"), [("listed", COMMIT), ("refused", "master"), ("null", "master")])
async def test_a_commit_that_nothing_vouches_for_is_listed_itself(
    hub: ModelScope, dialect: ModelScopeDialect, again: str, commit: str
) -> None:
    dialect.publish()
    answers = {"listed": dialect.page(dialect.large()), "refused": error(404, 10990101004), "null": dialect.page()}
    dialect.server.on(FILES, dialect.page(dialect.large(), head=""), answers[again])
    snapshot = await hub.list_files(REPO, None)
    assert (snapshot.commit, snapshot.files) == (commit, (LARGE,))
    assert dialect.server.asked[-1].query["Revision"] == COMMIT


async def test_a_commit_is_its_own_pin(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.publish(dialect.large())
    snapshot = await hub.list_files(REPO, "e" * 40)
    assert (snapshot.commit, dialect.server.paths()) == ("e" * 40, [FILES])


async def test_a_database_in_trouble_is_no_absence(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.publish()
    dialect.server.on(FILES, error(404, 10010205001, DATABASE), dialect.page(dialect.large()))
    assert (await hub.list_files(REPO, None)).files == (LARGE,)
    dialect.server.on(FILES, error(404, 10010205001, DATABASE))
    with pytest.raises(NetworkError):
        await hub.list_files(REPO, None)


async def test_an_unknown_revision_names_those_that_exist(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.missing_revision()
    for answer in (dialect.page(), error(404, 10990101004)):
        dialect.server.on(FILES, answer)
        with pytest.raises(NotFoundError) as caught:
            await hub.list_files(REPO, "v9")
        assert caught.value.hint == "its branches and tags are: master, v1"
    dialect.server.on(REVISIONS, error(500, 500))
    with pytest.raises(NotFoundError, match="no revision"):
        await hub.list_files(REPO, "v9")


async def test_main_is_asked_for_where_there_is_no_master(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.publish()
    dialect.knows("main")
    dialect.server.on(FILES, lambda a: dialect.page(*([dialect.large()] if a.query["Revision"] == "main" else [])))
    assert (await hub.list_files(REPO, None)).files == (LARGE,)


@pytest.mark.parametrize(
    "answer", [Answer(200, {"Code": 200, "Data": {}, "Success": False}), error(200, 10010200001), error(400, 77)]
)
async def test_success_needs_code_and_success(hub: ModelScope, dialect: ModelScopeDialect, answer: Answer) -> None:
    dialect.server.on(FILES, answer)
    with pytest.raises((NetworkError, AccessError)):
        await hub.list_files(REPO, None)


async def test_a_403_after_an_answer_is_a_mood(hub: ModelScope, dialect: ModelScopeDialect, time: FakeTime) -> None:
    dialect.publish(dialect.large())
    dialect.server.on(COMMITS, Answer(403), ok({"Commit": [{"Id": COMMIT}]}))
    assert (await hub.list_files(REPO, None)).commit == COMMIT
    dialect.server.on(FILES, Answer(403))
    with pytest.raises(AccessError):
        await hub.list_files(REPO, None)


class Tree:
    """A repository whose every listing is cut at `cap` rows, as the real hub cuts."""

    def __init__(self, dialect: ModelScopeDialect, paths: list[str], cap: int = 5) -> None:
        self.dialect, self.paths, self.cap = dialect, paths, cap

    def __call__(self, asked: Asked) -> Answer:
        root = asked.query.get("Root", "")
        below = [path for path in self.paths if path.startswith(f"{root}/" if root else "")]
        rows = dict[str, dict[str, Any]]()
        for path in below:
            parts = path.split("/")
            depth = len(root.split("/")) if root else 0
            for end in range(depth + 1, len(parts)):
                rows.setdefault("/".join(parts[:end]), self.dialect.folder("/".join(parts[:end])))
            rows[path] = self.dialect.row(path)
            if asked.query["Recursive"] == "False" and len(parts) > depth + 1:
                del rows[path]
                rows = {key: row for key, row in rows.items() if key.count("/") == depth}
        return self.dialect.page(*list(rows.values())[: self.cap])


async def test_a_cut_listing_is_walked(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    paths = [f"{folder}/{n}" for folder in ("a", "b", "c/d", "c/e") for n in range(3)] + ["top"]
    dialect.publish()
    dialect.server.on(FILES, Tree(dialect, paths))
    snapshot = await hub.list_files(REPO, None)
    assert sorted(file.path for file in snapshot.files) == sorted(paths)
    assert {asked.query["Revision"] for asked in dialect.server.asked if asked.path == FILES} == {"master", COMMIT}


async def test_a_folder_that_cannot_be_listed_is_no_partial_plan(hub: ModelScope, dialect: ModelScopeDialect) -> None:
    dialect.publish()
    dialect.server.on(FILES, Tree(dialect, [f"big/{n}" for n in range(9)] + ["top"]))
    with pytest.raises(IntegrityError, match="big holds more than the 5 entries"):
        await hub.list_files(REPO, None)


@pytest.mark.parametrize("child", [["elsewhere"], [], None], ids=["outside", "null", "gone"])
async def test_a_walk_that_makes_no_sense(hub: ModelScope, dialect: ModelScopeDialect, child: list[str] | None) -> None:
    def files(asked: Asked) -> Answer:
        if asked.query.get("Root"):
            return error(404, 10990101004) if child is None else dialect.page(*map(dialect.row, child))
        if asked.query["Recursive"] == "False":
            return dialect.page(dialect.folder("a"))
        return dialect.page(*(dialect.row(f"a/{n}") for n in range(5)))

    dialect.publish()
    dialect.server.on(FILES, files)
    with pytest.raises(IntegrityError):
        await hub.list_files(REPO, None)


async def test_the_second_site_is_asked_where_the_first_does_not_know(
    api: HttpxApi, server: ScriptedServer, other: ScriptedServer, patience: Patience
) -> None:
    hub = ModelScope(api, find_login=no_login, patience=patience, sites=(server.origin, other.origin))
    first, second = ModelScopeDialect(server), ModelScopeDialect(other)
    first.missing_repo()
    second.publish(second.large())
    snapshot = await hub.list_files(REPO, None)
    assert hub.locate(snapshot, "a").url.startswith(other.origin)
    assert hub.endpoint == server.origin
    second.missing_repo()
    with pytest.raises(NotFoundError) as caught:
        await hub.list_files(REPO, None)
    assert len(caught.value.attempts) == 2
    other.on(FILES, Answer(503))
    with pytest.raises(NotFoundError):
        await hub.list_files(REPO, None)
    first.no_access()
    with pytest.raises(AccessError):
        await hub.list_files(REPO, None)


@pytest.mark.parametrize(
    ("endpoint", "env", "sites"),
    [
        (None, {}, SITES),
        (None, {"MODELSCOPE_PREFER_AI_SITE": "True"}, SITES[::-1]),
        (None, {"MODELSCOPE_DOMAIN": "ms.example"}, ("https://ms.example",)),
        (None, {"MODELSCOPE_DOMAIN": "http://127.0.0.1:8/"}, ("http://127.0.0.1:8",)),
        (None, {"MODELSCOPE_DOMAIN": "a.example", "MODELSCOPE_ENDPOINT": "http://b.example"}, ("http://b.example",)),
        ("http://c.example", {"MODELSCOPE_ENDPOINT": "http://b.example"}, ("http://c.example",)),
    ],
)
def test_sites(endpoint: str | None, env: dict[str, str], sites: tuple[str, ...]) -> None:
    assert _sites(endpoint, env) == sites


async def test_a_saved_login_goes_only_to_its_own_host(
    api: HttpxApi, server: ScriptedServer, patience: Patience
) -> None:
    async def saved() -> Login:
        return Login("hf_secret", "modelscope.cn")

    dialect = ModelScopeDialect(server)
    dialect.publish(dialect.large())
    hub = ModelScope(api, server.origin, find_login=saved, patience=patience)
    assert hub.locate(await hub.list_files(REPO, None), "a").headers == {}
    assert all("cookie" not in asked.headers for asked in server.asked)
    hub._homes[REPO] = "https://www.modelscope.cn"
    request = hub.locate(Snapshot(HubName.MODELSCOPE, REPO, "master", ()), "a")
    assert request.headers["Cookie"] == "m_session_id=hf_secret"


def test_locates_with_both_values_quoted(hub: ModelScope, server: ScriptedServer) -> None:
    url = hub.locate(Snapshot(HubName.MODELSCOPE, REPO, "a/b", ()), "vae/x y&.json").url
    assert url == f"{server.origin}{API}/repo?Revision=a%2Fb&FilePath=vae%2Fx+y%26.json"


@pytest.mark.parametrize(
    ("status", "code", "message", "failure"),
    [
        (404, 10990101007, "文件内容为空", Failure.MISSING),
        (200, 10990101007, "文件内容为空", Failure.MISSING),
        (206, 10990101007, "", Failure.MISSING),
        (404, 10010205001, "record not found", Failure.MISSING),
        (404, 10010205001, DATABASE, Failure.BUSY),
        (404, 10010200001, "", Failure.REFUSED),
        (400, 10010103009, "", Failure.BAD_TOKEN),
        (200, 500, "", Failure.BUSY),
        (200, 429, "", Failure.BUSY),
        (200, 12345, "", Failure.WRONG_REPLY),
    ],
)
def test_explains_envelopes(hub: ModelScope, status: int, code: int, message: str, failure: Failure) -> None:
    for body in (
        f'{{"Code": {code}, "Message": "{message}", "RequestId": "r"}}',
        f'{{"Code": {code}, "Message": "{message}", "Success": false}}',
    ):
        found = hub.explain(status, {}, body.encode())
        assert found is not None
        assert found.failure is failure
