"""The logins that the two SDKs keep, read the way they read them, and only where there can be one.

Both SDKs are slow to import, may touch the network or a pickle, and may fail in ways of their own. So they are
imported in a thread, only if their files exist, and any failure there is a warning and no token.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from acestep_fetch.hubs.account import ANONYMOUS, Login

_PATIENCE: Final = 20.0  # seconds; an OIDC exchange or an OAuth refresh uses the network
_YES: Final = frozenset({"1", "ON", "YES", "TRUE"})


async def huggingface_login(environ: Mapping[str, str] | None = None) -> Login:
    """``HF_TOKEN``, else `huggingface_hub.get_token` where a token file or OIDC variables exist.

    ``HF_HUB_DISABLE_IMPLICIT_TOKEN`` turns both off (`huggingface_hub.utils.build_hf_headers`).
    """
    env = os.environ if environ is None else environ
    if env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _YES:
        return ANONYMOUS
    if token := (env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN") or "").strip():
        return Login(token)
    if env.get("HF_OIDC_RESOURCE") or "google.colab" in sys.modules or _is_file(_token_file(env)):
        return await _guarded(_ask_huggingface_hub, "Hugging Face")
    return ANONYMOUS


async def modelscope_login(environ: Mapping[str, str] | None = None) -> Login:
    """``MODELSCOPE_API_TOKEN`` (set and empty: none), else the login that modelscope saved.

    A saved login goes only to the host that it was made for: .cn and .ai have separate accounts.
    """
    env = os.environ if environ is None else environ
    if "MODELSCOPE_API_TOKEN" in env:
        return Login(env["MODELSCOPE_API_TOKEN"].strip() or None)
    folder = next((folder for folder in _credentials(env) if _is_file(folder / "cookies")), None)
    return await _guarded(lambda: _ask_modelscope(folder), "ModelScope") if folder else ANONYMOUS


async def _guarded(ask: Callable[[], Login], title: str) -> Login:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.to_thread(ask)
    except Exception as exc:  # an SDK's failure, whatever it is, must not end a download
        return Login(warning=f"the saved login for {title} cannot be read ({type(exc).__name__}): going on without it")


def _ask_huggingface_hub() -> Login:
    from huggingface_hub import get_token

    return Login(get_token())


def _token_file(env: Mapping[str, str]) -> Path:
    cache = env.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = env.get("HF_HOME") or os.path.join(cache, "huggingface")
    return _expanded(env.get("HF_TOKEN_PATH") or os.path.join(home, "token"))


def _credentials(env: Mapping[str, str]) -> list[Path]:
    """Where modelscope 1.38 and later keep the login, and where earlier ones did."""
    home = _expanded(env.get("MODELSCOPE_HOME") or os.path.join("~", ".modelscope"))
    older = env.get("MODELSCOPE_CREDENTIALS_PATH")
    return [home / "credentials", *([_expanded(older)] if older else [])]


def _ask_modelscope(folder: Path) -> Login:
    """The cookie ``m_session_id`` of the saved jar. The jar is a pickle, and a pickle can run anything: it is opened
    only if nobody else can have written it. That is looked at before modelscope is imported, because modelscope
    narrows the permissions of what it finds and reads it when it is first configured."""
    if reason := _why_untrusted(folder):
        return Login(warning=f"the saved login for ModelScope is not used: {reason}")
    for cookie in _saved_cookies(folder) or ():
        if cookie.name == "m_session_id" and cookie.value:
            return Login(cookie.value, cookie.domain or None)
    return ANONYMOUS


def _saved_cookies(folder: Path) -> Any:
    """Through `modelscope_hub`, the part of modelscope 1.38 and later that keeps the login.

    With its folder, endpoint and token given, `HubConfig` looks at no environment and at no other folder.
    """
    if folder.name != "credentials":  # the only name it knows
        return None
    from modelscope_hub.config import HubConfig

    return HubConfig(config_dir=folder.parent, endpoint="https://modelscope.cn", token="").load_cookies()


def _why_untrusted(folder: Path) -> str | None:
    """Why somebody else could have written the jar. Windows keeps no such bits: its profile folders are private."""
    if not hasattr(os, "getuid"):
        return None
    real = folder.resolve()
    for path in (real.parent, real, (real / "cookies").resolve()):
        found = path.stat()
        if found.st_uid != os.getuid():
            return f"{path} belongs to another user"
        if found.st_mode & stat.S_IWOTH and not (path.is_dir() and found.st_mode & stat.S_ISVTX):
            return f"{path} can be written by everybody"
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _expanded(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
