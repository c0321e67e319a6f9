"""One repository's listing from one ModelScope site.

1. List the revision by name, recursively, and ask ``/commits`` for its commit meanwhile; pin what both agree on.
2. A listing is silently cut at 3000 rows. One that long is thrown away: its folder is listed flat, and each folder
   in it on its own, down to where listings are short. A folder with 3000 direct children cannot be listed at all.
3. ``Files: null`` is an unknown revision or an empty repository; ``/revisions`` tells which.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from acestep_fetch.core.errors import AccessError, Failure, FetchError, IntegrityError, NotFoundError, SourceError
from acestep_fetch.core.interfaces import Api, ApiReply
from acestep_fetch.core.model import SHA1_HEX, RemoteFile, RepoId
from acestep_fetch.core.retry import asked_wait
from acestep_fetch.core.secrecy import Secret
from acestep_fetch.hubs import listing
from acestep_fetch.hubs import modelscope_wire as wire
from acestep_fetch.hubs.account import Account
from acestep_fetch.hubs.asking import Conversation, Patience, path_of

LISTING_CAP: Final = 3000
MOST_LISTINGS: Final = 5000  # MODELSCOPE_REPO_TREE_MAX_REQUESTS of modelscope_hub 0.5.1

Files = tuple[RemoteFile, ...]


class AbsentError(NotFoundError):
    """This site does not know the repository; the other one may."""


class Listing:
    """Asks once, for one repository at one site. `cap` is where the site cuts a listing."""

    def __init__(self, api: Api, site: str, repo: RepoId, account: Account, patience: Patience, cap: int) -> None:
        self._url = f"{site}/api/v1/models/{repo}"
        self._site, self._repo, self._account, self._cap = site, repo, account, cap
        self._now = patience.now
        self._talk = Conversation(api, patience, self._judge, wire.TITLE)
        self._aside = Conversation(api, patience, partial(self._judge, aside=True), wire.TITLE)
        self._answered = False
        self._listings = 0

    async def everything(self, revision: str, also: str | None = None) -> tuple[str, Files]:
        """The pin and all files. `also` is the branch to take where `revision` does not exist."""
        naming = asyncio.create_task(self._commit(revision))
        try:
            page = await self._listed(revision)
            commit = await naming if page and page.rows else None
        finally:
            naming.cancel()
            await asyncio.wait([naming])
        if page is None or not page.rows:
            known = await self._revisions()
            if also is not None and also in known and revision not in known:
                return await self.everything(also)
            raise self._no_files(revision, known)
        pin = commit if commit is not None and commit.startswith(page.head) else revision
        if pin != revision and not page.head:  # nothing vouched for the commit: take the listing at it
            pin, page = await self._again(pin, revision, page)
        files = page.files if page.rows < self._cap else await self._long(pin)
        return pin, listing.without_duplicates(wire.TITLE, files)

    async def _listed(self, revision: str) -> wire.Page | None:
        try:
            return await self._page(revision)
        except _NoTreeError:
            return None

    async def _commit(self, revision: str) -> str | None:
        """The commit that ``/commits`` has for `revision`, which is not to be believed alone; None for none."""
        if SHA1_HEX.fullmatch(revision):
            return revision
        params = {"Ref": revision, "PageNumber": "1", "PageSize": "1"}
        try:
            return wire.commit_of(await self._ask("/commits", params, attempts=2, aside=True))
        except (FetchError, _NoTreeError):
            return None

    async def _again(self, commit: str, revision: str, page: wire.Page) -> tuple[str, wire.Page]:
        try:
            pinned = await self._page(commit)
        except (FetchError, _NoTreeError):
            return revision, page
        return (commit, pinned) if pinned.rows else (revision, page)

    async def _long(self, pin: str) -> Files:
        try:
            return tuple(await self._walk(pin, ""))
        except _NoTreeError:
            raise listing.disbelief(wire.TITLE, "a folder went away while it was listed") from None

    async def _walk(self, pin: str, folder: str) -> list[RemoteFile]:
        """Everything below `folder`, whose recursive listing is known to be cut."""
        flat = await self._page(pin, folder, recursive=False)
        if flat.rows >= self._cap:
            where = folder or "the repository's root"
            raise listing.disbelief(wire.TITLE, f"{where} holds more than the {self._cap} entries that are ever listed")
        files = list(flat.files)
        for child in flat.folders:
            if folder and not child.startswith(f"{folder}/"):
                raise listing.disbelief(wire.TITLE, f"{child} is listed below {folder}")
            page = await self._page(pin, child)
            if not page.rows:  # git has no empty folders
                raise _NoTreeError
            files += page.files if page.rows < self._cap else await self._walk(pin, child)
        return files

    async def _page(self, pin: str, folder: str = "", *, recursive: bool = True) -> wire.Page:
        """Parameter names are case-sensitive: a misspelt one is ignored without a word."""
        self._listings += 1
        if self._listings > MOST_LISTINGS:
            raise listing.disbelief(wire.TITLE, "its folders have no end")
        params = {"Revision": pin, "Recursive": str(recursive), **({"Root": folder} if folder else {})}
        page = wire.page_of(await self._ask("/repo/files", params))
        if folder and not all(path.startswith(f"{folder}/") for path in _paths(page)):
            raise listing.disbelief(wire.TITLE, f"what is listed for {folder} is not in it")
        return page

    async def _revisions(self) -> tuple[str, ...]:
        try:
            return wire.revisions_of(await self._ask("/revisions", {}, attempts=2))
        except (SourceError, IntegrityError, _NoTreeError):
            return ()  # the missing listing is answer enough; its names would only have been help

    async def _ask(self, path: str, params: dict[str, str], attempts: int | None = None, *, aside: bool = False) -> Any:
        """The envelope's data. A token that is refused is dropped, and the question asked again without it.

        What is asked `aside` goes on beside the listing, and its failures say nothing of that.
        """
        talk = self._aside if aside else self._talk
        headers = credentials(self._account, self._site)
        reply = await talk.ask(self._url + path, params=params, headers=headers, attempts=attempts)
        envelope = wire.envelope_of(reply.status, reply.body)
        if not envelope.ok and headers and wire.failure_of(envelope) is Failure.BAD_TOKEN:
            self._account.drop()
            reply = await talk.ask(self._url + path, params=params, attempts=attempts)
            envelope = wire.envelope_of(reply.status, reply.body)
        if not envelope.ok:
            raise self._refusal(envelope)
        self._answered |= not aside
        return envelope.data

    def _judge(self, reply: ApiReply, *, aside: bool = False) -> SourceError | None:
        """Busy, a database error in a 404's clothes, or a 403 while other questions are answered."""
        try:
            envelope = wire.envelope_of(reply.status, reply.body)
        except IntegrityError:
            return None
        moody = reply.status == 403 and (self._answered or aside)
        if envelope.ok or not (moody or wire.failure_of(envelope) is Failure.BUSY):
            return None
        wait = asked_wait(reply.status, reply.headers, self._now())
        where = path_of(reply.url)
        return SourceError(Failure.BUSY, f"{wire.TITLE}: HTTP {reply.status} for {where}", retry_after=wait)

    def _refusal(self, envelope: wire.Envelope) -> Exception:
        failure, said = wire.failure_of(envelope), f"HTTP {envelope.status}, code {envelope.code}"
        if failure is Failure.MISSING and envelope.code == wire.ABSENT:
            return AbsentError(f"{wire.TITLE}: {self._repo} is missing", hint="it may be on the other hub only")
        if failure is Failure.MISSING and not self._answered and envelope.bare:
            return AbsentError(
                f"{wire.TITLE}: {self._repo} is missing ({said})", hint="it may be on the other hub only"
            )
        if failure is Failure.MISSING:
            return _NoTreeError()
        if failure in (Failure.REFUSED, Failure.BAD_TOKEN):
            return AccessError(
                f"{wire.TITLE}: no access to {self._repo} ({said})",
                hint="it is private or gated: log in with `modelscope login` or set MODELSCOPE_API_TOKEN",
            )
        return SourceError(Failure.WRONG_REPLY, f"{wire.TITLE}: {said} for the file list of {self._repo}")

    def _no_files(self, revision: str, known: tuple[str, ...]) -> NotFoundError:
        if revision in known:
            return NotFoundError(
                f"{wire.TITLE}: {self._repo} holds no files at {revision!r}", hint="try another --revision"
            )
        named = ", ".join(known[:20])
        return NotFoundError(
            f"{wire.TITLE}: {self._repo} has no revision {revision!r}",
            hint=f"its branches and tags are: {named}" if named else "try another --revision, or none",
            of_revision=True,
        )


class _NoTreeError(Exception):
    """The repository is there, and nothing at that revision or folder."""


def credentials(account: Account, site: str) -> dict[str, str]:
    """The token as the session cookie and as a bearer, as modelscope 1.38 and later send it: no login round trip."""
    token = account.token_for(site)
    if not token:
        return {}
    return {"Cookie": Secret(f"m_session_id={token}"), "Authorization": Secret(f"Bearer {token}")}


def _paths(page: wire.Page) -> list[str]:
    return [file.path for file in page.files] + list(page.folders)
