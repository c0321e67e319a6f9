"""The token of one hub for one run: where it comes from, where it may go, and what happens when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from acestep_fetch.core.secrecy import Secret, remember
from acestep_fetch.hubs.addresses import host_of


@dataclass(frozen=True, slots=True)
class Login:
    """What the environment knows of a user. `host` limits a saved login to the host that it was made for."""

    token: str | None = field(default=None, repr=False)
    host: str | None = None
    warning: str | None = None


FindLogin = Callable[[], Awaitable[Login]]

ANONYMOUS: Final = Login()


async def no_login() -> Login:
    """For those who want nothing from the environment."""
    return ANONYMOUS


class Account:
    """Holds the token while the hub accepts it. The environment is asked once, when a token is first needed."""

    def __init__(self, title: str, token: str | None, find_login: FindLogin) -> None:
        self._title = title
        self._login = None if token is None else _usable(title, Login(token))
        self._find_login = find_login
        self._finding = asyncio.Lock()
        self._warnings = list[str]()
        self._note(self._login)

    async def ready(self) -> None:
        """Looks for a saved login, unless a token was given or this was done before. Never fails."""
        async with self._finding:
            if self._login is None:
                self._login = _usable(self._title, await self._find_login())
                self._note(self._login)

    def token_for(self, url: str) -> Secret | None:
        """The token, where it may be sent to `url`'s host."""
        if self._login is None or not self._login.token:
            return None
        return Secret(self._login.token) if _same_site(host_of(url), self._login.host) else None

    def drop(self) -> bool:
        """Forgets the token for the rest of the run, and says so; False if there was none."""
        if self._login is None or not self._login.token:
            return False
        self._login = ANONYMOUS
        self.warn(f"{self._title} does not accept the token: going on without it")
        return True

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def take_warnings(self) -> tuple[str, ...]:
        taken, self._warnings = tuple(self._warnings), []
        return taken

    def _note(self, login: Login | None) -> None:
        if login is not None and login.warning:
            self.warn(login.warning)


def _usable(title: str, login: Login) -> Login:
    """A token with a line break or a letter outside ASCII cannot be a header; it must not end a run either."""
    token = (login.token or "").strip()
    if token and not (token.isascii() and token.isprintable() and not set(token) & set(' ;,"')):
        return Login(warning=f"the token for {title} has characters that no token has: going on without it")
    return Login(remember(token) if token else None, login.host, login.warning)


def _same_site(host: str, login_host: str | None) -> bool:
    if login_host is None:
        return True
    bare, made_for = host.removeprefix("www."), login_host.lstrip(".").removeprefix("www.")
    return bare == made_for
