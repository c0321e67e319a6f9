"""What every hub keeps to, whatever its dialect. A dialect says the same things in the hub's own words."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from acestep_fetch.core.errors import AccessError, Failure, IntegrityError, NetworkError, NotFoundError
from acestep_fetch.core.interfaces import Hub
from acestep_fetch.core.model import RemoteFile, RepoId
from tests.hubs.scripted import Answer, FakeTime, ScriptedServer

REPO = RepoId("ACE-Step", "Ace-Step1.5")
COMMIT = "c0ffee" + "0" * 34
SHA = "a" * 64
GIT = "b" * 40
LARGE = RemoteFile("vae/model.safetensors", 4_000_000_000, sha256=SHA)


class Speaking(Hub, Protocol):
    def take_warnings(self) -> tuple[str, ...]: ...


class Dialect(Protocol):
    server: ScriptedServer
    listing: str  # the path of the request for files

    def page(self, *rows: dict[str, Any]) -> Answer: ...
    def row(self, path: object, size: object = 1) -> dict[str, Any]: ...
    def folder(self, path: str) -> dict[str, Any]: ...
    def large(self) -> dict[str, Any]: ...
    def publish(self, *rows: dict[str, Any]) -> None: ...
    def missing_repo(self) -> None: ...
    def missing_revision(self) -> None: ...
    def no_access(self) -> None: ...
    def bad_token(self) -> None: ...


class HubContract:
    async def test_lists_every_file_and_no_folder(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.publish(dialect.folder("vae"), dialect.large(), dialect.row("config.json", 0))
        snapshot = await hub.list_files(REPO, None)
        assert (snapshot.hub, snapshot.repo, snapshot.commit) == (hub.name, REPO, COMMIT)
        assert LARGE in snapshot.files
        assert {(file.path, file.size) for file in snapshot.files} == {(LARGE.path, LARGE.size), ("config.json", 0)}
        assert all(file.digest for file in snapshot.files)

    async def test_a_missing_repository(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.missing_repo()
        with pytest.raises(NotFoundError, match="missing"):
            await hub.list_files(REPO, None)

    async def test_a_missing_revision_is_named(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.missing_revision()
        with pytest.raises(NotFoundError, match="no revision 'v9'"):
            await hub.list_files(REPO, "v9")

    async def test_no_access_comes_with_a_hint(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.no_access()
        with pytest.raises(AccessError) as caught:
            await hub.list_files(REPO, None)
        assert "TOKEN" in (caught.value.hint or "")

    async def test_an_empty_repository_is_not_a_success(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.publish()
        with pytest.raises(NotFoundError, match="holds no files"):
            await hub.list_files(REPO, None)

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    async def test_a_busy_hub_is_asked_again(
        self, hub: Speaking, dialect: Dialect, time: FakeTime, status: int
    ) -> None:
        dialect.publish(dialect.large())
        dialect.server.on(dialect.listing, Answer(status), Answer(status), dialect.page(dialect.large()))
        assert (await hub.list_files(REPO, None)).files == (LARGE,)
        assert time.slept == [0.25, 0.5]

    async def test_a_hub_that_stays_busy_is_given_up(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.publish(dialect.large())
        dialect.server.on(dialect.listing, Answer(503))
        with pytest.raises(NetworkError, match="HTTP 503") as caught:
            await hub.list_files(REPO, None)
        assert len(caught.value.attempts) == 5

    async def test_the_wait_that_a_server_asks_for_is_kept(
        self, hub: Speaking, dialect: Dialect, time: FakeTime
    ) -> None:
        dialect.publish(dialect.large())
        busy = Answer(429, headers={"Retry-After": "7"})
        dialect.server.on(dialect.listing, busy, dialect.page(dialect.large()))
        await hub.list_files(REPO, None)
        assert time.slept == [7.0]

    async def test_too_long_a_wait_is_not_kept(self, hub: Speaking, dialect: Dialect, time: FakeTime) -> None:
        dialect.publish(dialect.large())
        dialect.server.on(dialect.listing, Answer(429, headers={"Retry-After": "299"}))
        with pytest.raises(NetworkError) as caught:
            await hub.list_files(REPO, None)
        assert (time.slept, getattr(caught.value, "retry_after", None)) == ([], 299.0)

    async def test_silence_is_given_up(self, hub: Speaking, dialect: Dialect, time: FakeTime) -> None:
        dialect.publish(dialect.large())
        dialect.server.on(dialect.listing, Answer(hang=True), dialect.page(dialect.large()))
        assert (await hub.list_files(REPO, None)).files == (LARGE,)
        assert time.slept == [0.25]

    @pytest.mark.parametrize("size", [-1, None, "12", True, 1.5, 1 << 60, 1 << 70])
    async def test_a_size_that_is_none(self, hub: Speaking, dialect: Dialect, size: object) -> None:
        dialect.publish(dialect.row("a.txt", size))
        with pytest.raises(IntegrityError, match="size"):
            await hub.list_files(REPO, None)

    @pytest.mark.parametrize(
        "path", ["../evil.txt", "/etc/passwd", "a//b", "a/./b", "", "a\\b", "a\x00b", "a\ud800", None, 7, ["a"]]
    )
    async def test_a_path_that_leads_astray(self, hub: Speaking, dialect: Dialect, path: object) -> None:
        dialect.publish(dialect.row(path))
        with pytest.raises(IntegrityError, match="not a path"):
            await hub.list_files(REPO, None)

    async def test_a_path_that_is_listed_twice(self, hub: Speaking, dialect: Dialect) -> None:
        dialect.publish(dialect.row("a.txt"), dialect.row("a.txt"))
        with pytest.raises(IntegrityError, match=r"a\.txt is listed twice"):
            await hub.list_files(REPO, None)

    @pytest.mark.parametrize(
        "body", [b"", b"<html>log in to the hotel</html>", b"null", b'"x"', b"7", b"{}", b"[" * 100_000]
    )
    async def test_a_listing_of_another_shape(self, hub: Speaking, dialect: Dialect, body: bytes) -> None:
        dialect.publish(dialect.large())
        dialect.server.on(dialect.listing, Answer(200, body))
        with pytest.raises(IntegrityError, match="cannot be believed"):
            await hub.list_files(REPO, None)

    async def test_rows_of_another_shape(self, hub: Speaking, dialect: Dialect) -> None:
        for row in ({"path": "a", "Path": "a", "size": 1, "Size": 1}, {**dialect.row("a"), "type": "x", "Type": "x"}):
            dialect.publish(row)
            with pytest.raises(IntegrityError, match="neither a file nor"):
                await hub.list_files(REPO, None)

    async def test_the_token_goes_to_the_endpoint(self, hub_with_token: Speaking, dialect: Dialect) -> None:
        dialect.publish(dialect.large())
        snapshot = await hub_with_token.list_files(REPO, None)
        assert {asked.headers.get("authorization") for asked in dialect.server.asked} == {"Bearer hf_secret"}
        assert hub_with_token.locate(snapshot, LARGE.path).headers["Authorization"] == "Bearer hf_secret"

    async def test_a_refused_token_is_dropped_once_and_said(self, hub_with_token: Speaking, dialect: Dialect) -> None:
        dialect.publish(dialect.large())
        dialect.bad_token()
        snapshot = await hub_with_token.list_files(REPO, None)
        assert snapshot.files == (LARGE,)
        assert hub_with_token.locate(snapshot, LARGE.path).headers == {}
        assert [text for text in hub_with_token.take_warnings() if "going on without it" in text]
        assert hub_with_token.take_warnings() == ()
        assert not hub_with_token.drop_token()

    async def test_a_token_can_be_dropped(self, hub: Speaking, hub_with_token: Speaking) -> None:
        assert not hub.drop_token()
        assert hub_with_token.drop_token()
        assert not hub_with_token.drop_token()

    async def test_a_probe_is_one_request_without_token(self, hub_with_token: Speaking, dialect: Dialect) -> None:
        status = await hub_with_token.probe(REPO, 2.0)
        assert (status, len(dialect.server.asked)) == (418, 1)
        assert "authorization" not in dialect.server.asked[0].headers

    @pytest.mark.parametrize(
        ("status", "failure"),
        [
            (404, Failure.MISSING),
            (403, Failure.REFUSED),
            (408, Failure.BUSY),
            (429, Failure.BUSY),
            (500, Failure.BUSY),
            (503, Failure.BUSY),
            (400, Failure.WRONG_REPLY),
            (416, Failure.WRONG_REPLY),
        ],
    )
    def test_explains_statuses(self, hub: Speaking, status: int, failure: Failure) -> None:
        found = hub.explain(status, {"retry-after": "3"}, b"<html>")
        assert found is not None
        assert found.failure is failure
        if failure is Failure.BUSY:
            assert found.retry_after == 3.0

    @pytest.mark.parametrize("status", [200, 206, 302, 307])
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\x00\x01weights",
            b'{"model_type": "acestep"}',
            b'{"Code": 7, "Name": "a code book"}',
            b'{"Code": "x", "RequestId": "1"}',
            b'{"Code": 200, "RequestId": "1", "Success": true}',
            b"[1]",
            b'{"cut": ',
        ],
    )
    def test_a_file_is_not_an_error(self, hub: Speaking, status: int, body: bytes) -> None:
        assert hub.explain(status, {}, body) is None

    def test_messages_never_show_the_token(self, hub_with_token: Speaking) -> None:
        assert "hf_secret" not in repr(vars(hub_with_token)["_account"]._login)
