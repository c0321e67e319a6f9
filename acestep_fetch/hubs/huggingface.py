"""Hugging Face: one request for the commit and, where that answer is sure to be whole, for all files at it.

The commit pins the listing and every file to one state of the repository, however long the download takes and whatever
is pushed meanwhile. A repository of many files, and one whose answer leaves anything open, is listed as the tree at
that commit: one more request for each page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from acestep_fetch.core.errors import Failure, NotFoundError, SourceError, UsageError
from acestep_fetch.core.interfaces import Api, ApiReply, Request
from acestep_fetch.core.model import HubName, RemoteFile, RepoId, Snapshot
from acestep_fetch.core.retry import is_busy
from acestep_fetch.core.secrecy import Secret
from acestep_fetch.hubs import huggingface_wire as wire
from acestep_fetch.hubs import listing, tokens
from acestep_fetch.hubs.account import Account, FindLogin
from acestep_fetch.hubs.addresses import base_url, origin_of
from acestep_fetch.hubs.asking import Conversation, Patience, path_of

MOST_PAGES: Final = 10_000

_OWN_ORIGINS: Final = frozenset({"https://huggingface.co", "https://hub-ci.huggingface.co", "https://hf.co"})


class HuggingFace:
    """`core.interfaces.Hub` for huggingface.co and for mirrors that speak its API.

    `endpoint` None is the SDK's, which reads ``HF_ENDPOINT``. `token` None is the login that the environment knows
    (`find_login`), "" is none. What people should know is collected for `take_warnings`.
    """

    name: HubName = HubName.HUGGINGFACE
    resolver_slots: int = 32  # it counts requests in a window of five minutes, not at once

    def __init__(
        self,
        api: Api,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        find_login: FindLogin = tokens.huggingface_login,
        patience: Patience | None = None,
        most_pages: int = MOST_PAGES,
    ) -> None:
        self._api = api
        self._given_base = base_url(endpoint, "HF_ENDPOINT") if endpoint else None
        self._account = Account(wire.TITLE, token, find_login)
        self._patience = patience or Patience()
        self._most_pages = most_pages
        self._present_ids = dict[RepoId, RepoId]()  # of repositories that were renamed
        self._shortcuts = dict[tuple[RepoId, str], bool]()  # by repository and commit: whether they work

    @property
    def endpoint(self) -> str:
        """Scheme, host and port. A mirror's path is used and not shown."""
        return origin_of(self._base)

    @property
    def _base(self) -> str:
        if self._given_base is None:
            from huggingface_hub.constants import ENDPOINT

            self._given_base = base_url(ENDPOINT or "https://huggingface.co", "HF_ENDPOINT")
        return self._given_base

    async def probe(self, repo: RepoId, timeout: float) -> int:
        """One request without token or retry: is the API there?"""
        return (await self._api.get(f"{self._base}/api/models/{repo}", timeout=timeout)).status

    async def list_files(self, repo: RepoId, revision: str | None) -> Snapshot:
        """See `core.interfaces.Hub.list_files`. A refused token is dropped and the listing tried without it."""
        await self._account.ready()
        talk = Conversation(self._api, self._patience, self._judge, wire.TITLE)
        wanted = revision or "main"
        found = await self._revision(talk, repo, wanted)
        commit, listed = found.commit, found.files
        if listed is None:
            listed = await self._tree(talk, repo, commit)
        files = listing.without_duplicates(wire.TITLE, listed)
        if not files:
            raise NotFoundError(f"{wire.TITLE}: {repo} holds no files at {wanted!r}", hint="try another --revision")
        return Snapshot(HubName.HUGGINGFACE, repo, commit, files)

    def locate(self, snapshot: Snapshot, path: str) -> Request:
        """``/{repo}/resolve/{commit}/{path}`` (`hf_hub_url`)."""
        url = f"{self._base}/{self._present_id(snapshot.repo)}/resolve/{_whole(snapshot.commit)}/{quote(path)}"
        return Request(url, self._headers())

    def second_address(self, snapshot: Snapshot, path: str) -> Request | None:
        """There is one address for each file."""
        return None

    def shortcut(self, snapshot: Snapshot, path: str) -> Request | None:
        """Where ``/resolve/`` would send us for a file outside LFS, which saves one of two metered requests."""
        file = snapshot.by_path.get(path)
        if file is None or file.git_sha1 is None or file.sha256 or not file.size:
            return None  # redirected to another host, or not at all
        if not self._shortcuts.get((snapshot.repo, snapshot.commit), True):
            return None
        repo = str(self._present_id(snapshot.repo))
        return Request(f"{self._base}{wire.cached_at(repo, snapshot.commit, path, file.git_sha1)}", self._headers())

    def has_shortcuts(self, snapshot: Snapshot) -> bool:
        return self._shortcuts.get((snapshot.repo, snapshot.commit), False)

    def judge_shortcut(self, snapshot: Snapshot, path: str, headers: Mapping[str, str] | None) -> bool:
        """The reply has to name the commit and the file's git id: then this endpoint knows such addresses."""
        file, key = snapshot.by_path.get(path), (snapshot.repo, snapshot.commit)
        right = file is not None and headers is not None and wire.is_content(headers, snapshot.commit, file.git_sha1)
        self._shortcuts[key] = right and self._shortcuts.get(key, True)
        return right

    def explain(self, status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
        """This hub never hides an error behind a 2xx."""
        if 200 <= status < 400:
            return None
        return wire.source_error(status, headers, body, "a file", self._patience.now())

    def drop_token(self) -> bool:
        return self._account.drop()

    def take_warnings(self) -> tuple[str, ...]:
        """What people should be told since the last call."""
        return self._account.take_warnings()

    async def _revision(self, talk: Conversation, repo: RepoId, revision: str) -> wire.Revision:
        url = f"{self._base}/api/models/{repo}/revision/{_whole(revision)}?blobs=true"
        reply = await self._ask(talk, url, repo, revision)
        found = wire.revision_of(reply.body)
        if path_of(reply.url) != path_of(url):
            self._remember(repo, found.present_id)
        return found

    async def _tree(self, talk: Conversation, repo: RepoId, commit: str) -> list[RemoteFile]:
        """All pages. A page that was seen before, or one page too many, ends in `IntegrityError`."""
        files, seen = list[RemoteFile](), set[str]()
        first = f"{self._base}/api/models/{self._present_id(repo)}/tree/{commit}?recursive=true&expand=false"
        page: str | None = first
        while page is not None:
            if page in seen or len(seen) >= self._most_pages:
                raise listing.disbelief(wire.TITLE, "its pages have no end")
            seen.add(page)
            reply = await self._ask(talk, page, repo, commit)
            files += wire.tree_rows(reply.body)
            following = wire.next_page(reply.headers.get("link"))
            page = self._at_home(urljoin(page, following)) if following else None
        return files

    def _at_home(self, url: str) -> str:
        """A page's address at our endpoint: mirrors hand on links that name huggingface.co."""
        origin = origin_of(url)
        if origin == self.endpoint:
            return url
        if origin not in _OWN_ORIGINS:
            raise listing.disbelief(wire.TITLE, "its next page is at another host")
        parts = urlsplit(url)
        return f"{self._base}{parts.path}?{parts.query}"

    async def _ask(self, talk: Conversation, url: str, repo: RepoId, revision: str) -> ApiReply:
        headers = self._headers()
        reply = await talk.ask(url, headers=headers)
        if headers and self._refuses_token(reply):
            self._account.drop()
            reply = await talk.ask(url, headers=self._headers())
        elif headers and reply.status == 401:  # says no more than that: whether the token is why shows without it
            without = await talk.ask(url)
            if without.status == 200:
                self._account.drop()
                reply = without
        if reply.status == 200:
            return reply
        page = f"{self._base}/{repo}"
        raise wire.listing_error(reply.status, reply.headers, reply.body, repo, revision, page)

    def _refuses_token(self, reply: ApiReply) -> bool:
        return wire.failure_of(reply.status, reply.headers, reply.body) is Failure.BAD_TOKEN

    def _judge(self, reply: ApiReply) -> SourceError | None:
        if not is_busy(reply.status):
            return None
        now = self._patience.now()
        return wire.source_error(reply.status, reply.headers, reply.body, path_of(reply.url), now)

    def _headers(self) -> dict[str, str]:
        token = self._account.token_for(self._base)
        return {"Authorization": Secret(f"Bearer {token}")} if token else {}

    def _present_id(self, repo: RepoId) -> RepoId:
        return self._present_ids.get(repo, repo)

    def _remember(self, repo: RepoId, present_id: str | None) -> None:
        try:
            self._present_ids[repo] = RepoId.parse(present_id or str(repo))
        except UsageError:
            return  # a legacy id without owner: the redirect will do


def _whole(revision: str) -> str:
    """A revision as one path segment: ``refs/pr/1`` is ``refs%2Fpr%2F1``."""
    return quote(revision, safe="")
