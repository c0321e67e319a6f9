"""ModelScope: one listing, cross-checked with the commit it was made at; two sites unless one is pinned.

Listing and commit are separate answers, and ``/commits`` is known to answer for the wrong branch without a word. So
the listing is made by name, the commit asked for meanwhile, and believed only if the listing's own
``LatestCommitter`` agrees. Otherwise the name stays the pin: listing and files then use the same one either way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote, quote_plus

from acestep_fetch.core.errors import FetchError, NotFoundError, SourceError
from acestep_fetch.core.interfaces import Api, Request
from acestep_fetch.core.model import HubName, RepoId, Snapshot
from acestep_fetch.core.retry import asked_wait
from acestep_fetch.hubs import modelscope_wire as wire
from acestep_fetch.hubs import tokens
from acestep_fetch.hubs.account import Account, FindLogin
from acestep_fetch.hubs.addresses import base_url, origin_of
from acestep_fetch.hubs.asking import Patience
from acestep_fetch.hubs.modelscope_listing import LISTING_CAP, AbsentError, Listing, credentials

SITES: Final = ("https://modelscope.cn", "https://www.modelscope.ai")


class ModelScope:
    """`core.interfaces.Hub` for modelscope.cn, modelscope.ai and whatever speaks their API.

    `endpoint` None is ``MODELSCOPE_ENDPOINT``, else ``MODELSCOPE_DOMAIN``, else both sites, the second asked where
    the first does not know the repository (``MODELSCOPE_PREFER_AI_SITE`` turns them around). `token` None is the
    login that the environment knows (`find_login`), "" is none. `sites` and `listing_cap` are for tests.
    """

    name: HubName = HubName.MODELSCOPE
    resolver_slots: int = 8  # no limit is published; both official clients stay at this or below

    def __init__(
        self,
        api: Api,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        find_login: FindLogin = tokens.modelscope_login,
        patience: Patience | None = None,
        listing_cap: int = LISTING_CAP,
        sites: tuple[str, ...] | None = None,
    ) -> None:
        self._api = api
        self._sites = sites or _sites(endpoint, os.environ)
        self._account = Account(wire.TITLE, token, find_login)
        self._patience = patience or Patience()
        self._cap = listing_cap
        self._homes = dict[RepoId, str]()  # the site that knows a repository

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the site that is asked first."""
        return origin_of(self._sites[0])

    async def probe(self, repo: RepoId, timeout: float) -> int:
        """One request without token or retry, to the site that is asked first: is the API there?"""
        return (await self._api.get(f"{self._sites[0]}/api/v1/models/{repo}", timeout=timeout)).status

    async def list_files(self, repo: RepoId, revision: str | None) -> Snapshot:
        """See `core.interfaces.Hub.list_files`. Sites are asked in turn until one knows the repository."""
        await self._account.ready()
        wanted = "master" if revision in (None, "", "main") else str(revision)
        until = self._patience.clock() + self._patience.total
        absent: FetchError | None = None
        for site in self._sites:
            patience = replace(self._patience, total=until - self._patience.clock())
            ask = Listing(self._api, site, repo, self._account, patience, self._cap)
            try:
                commit, files = await ask.everything(wanted, also="main" if wanted == "master" else None)
            except (AbsentError, SourceError) as exc:
                if absent is None and not isinstance(exc, AbsentError):
                    raise
                absent = absent or exc
                absent.attempts += (f"{origin_of(site)}: {exc.message}",)
                continue
            self._homes[repo] = site
            return Snapshot(HubName.MODELSCOPE, repo, commit, files)
        raise absent or NotFoundError(f"{wire.TITLE}: no site to ask", hint="set MODELSCOPE_ENDPOINT")

    def locate(self, snapshot: Snapshot, path: str) -> Request:
        """``/api/v1/models/{repo}/repo``, both values `quote_plus`: what both official clients ask."""
        site = self._homes.get(snapshot.repo, self._sites[0])
        query = f"Revision={quote_plus(snapshot.commit)}&FilePath={quote_plus(path)}"
        return Request(f"{site}/api/v1/models/{snapshot.repo}/repo?{query}", credentials(self._account, site))

    def second_address(self, snapshot: Snapshot, path: str) -> Request | None:
        """``/models/{repo}/resolve/...``: the first address was seen to call LFS files empty (code 10990101007)."""
        site = self._homes.get(snapshot.repo, self._sites[0])
        url = f"{site}/models/{snapshot.repo}/resolve/{quote(snapshot.commit, safe='')}/{quote(path)}"
        return Request(url, credentials(self._account, site))

    def shortcut(self, snapshot: Snapshot, path: str) -> Request | None:
        """Small files come from `locate`'s address at once."""
        return None

    def has_shortcuts(self, snapshot: Snapshot) -> bool:
        return False

    def judge_shortcut(self, snapshot: Snapshot, path: str, headers: Mapping[str, str] | None) -> bool:
        return False

    def explain(self, status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
        """An error envelope counts under any status; 2xx and 3xx without one are not for this method."""
        envelope = wire.error_in(body)
        if envelope is None:
            if 200 <= status < 400:
                return None
            envelope = wire.Envelope(status, status, False, "", None)
        failure = wire.failure_of(envelope)
        code = "" if envelope.bare else f", code {envelope.code}"
        wait = asked_wait(status, headers, self._patience.now())
        return SourceError(failure, f"{wire.TITLE}: HTTP {status}{code} for a file", retry_after=wait)

    def drop_token(self) -> bool:
        return self._account.drop()

    def take_warnings(self) -> tuple[str, ...]:
        """What people should be told since the last call."""
        return self._account.take_warnings()


def _sites(endpoint: str | None, env: Mapping[str, str]) -> tuple[str, ...]:
    pinned = endpoint or env.get("MODELSCOPE_ENDPOINT", "").strip() or env.get("MODELSCOPE_DOMAIN", "").strip()
    if pinned:
        return (base_url(pinned, "MODELSCOPE_ENDPOINT"),)
    return SITES[::-1] if env.get("MODELSCOPE_PREFER_AI_SITE", "").strip().lower() == "true" else SITES
