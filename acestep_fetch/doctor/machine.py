"""Python, the packages that a run imports, and what the environment says about proxies and certificates."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Final

from acestep_fetch import __version__
from acestep_fetch.doctor.findings import Finding, fail, ok, warn

PACKAGES: Final = (
    "aiofiles",
    "aiohttp",
    "aiohttp-socks",
    "certifi",
    "httpx",
    "huggingface_hub",
    "modelscope",
    "python-socks",
    "rich",
)
_OLDEST: Final = (3, 11)


def versions() -> dict[str, str | None]:
    """The installed version of each package that a run may import; None where it is not installed. Imports none."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def of_python(installed: Mapping[str, str | None], version: Sequence[int] = sys.version_info[:3]) -> Finding:
    """Whether a run finds what it imports."""
    python = ".".join(map(str, version))
    known = f"acestep-fetch {__version__}, Python {python} on {platform.system()} {platform.machine()}"
    missing = [name for name, found in installed.items() if found is None]
    if tuple(version[:2]) < _OLDEST:
        return fail("python", f"Python {python} is too old", "install Python 3.11 or newer")
    if missing:
        todo = f"{sys.executable} -m pip install {' '.join(missing)}"
        return fail("python", f"{known}; not installed: {', '.join(missing)}", todo)
    named = ", ".join(f"{name} {installed[name]}" for name in ("aiohttp", "httpx", "huggingface_hub", "modelscope"))
    return ok("python", f"{known}; {named}")


def of_proxies(chosen: str | None = None, without: str | None = None) -> tuple[Finding, ...]:
    """Which settings there are; which of them counts for a hub is told with the hub. Never a login.

    `chosen` is the one proxy for everything that a run was told, `without` are the hosts that need none: both go before
    the environment.
    """
    from urllib.request import getproxies, getproxies_environment  # which imports ssl

    named = getproxies_environment()
    excepted, whose = (named.get("no", ""), "NO_PROXY") if without is None else (without, "--no-proxy")
    behind = [f"not for {whose} {excepted}"] if excepted else []
    if chosen is not None:
        return (_of_proxy([("--proxy", chosen)], behind),)
    addresses = {key: named[key] for key in ("http", "https", "all") if named.get(key)}
    system = {} if addresses else {key: value for key, value in getproxies().items() if key in ("http", "https", "all")}
    if not addresses and not system:
        return (ok("proxy", "none is set: hosts are asked directly"),)
    found = [
        (f"{key.upper()}_PROXY" if addresses else f"the system's proxy for {key}", text)
        for key, text in (addresses or system).items()
    ]
    return (_of_proxy(found, behind),)


def _of_proxy(named: Sequence[tuple[str, str]], behind: Sequence[str]) -> Finding:
    from acestep_fetch.core.errors import UsageError
    from acestep_fetch.transport.proxies import parse

    said = list[str]()
    for where, text in named:
        try:
            proxy = parse(text)
        except UsageError as error:
            return fail("proxy", f"{where}: {error.message}", error.hint or "")
        said.append(f"{where} {proxy.url}{' with a login' if proxy.user else ''}")
    return ok("proxy", "; ".join([*said, *behind]))


def of_certificates(named: Mapping[str, str], unused: Sequence[str]) -> Iterator[Finding]:
    """Whose certificates are believed; `named` is what names them, `unused` are variables that are set in vain."""
    where = " and ".join(f"{path} ({name})" for name, path in named.items())
    if not named:
        yield ok("certificates", "those of the system are believed")
    elif unused:
        todo = f"unset {' and '.join(unused)}, or make {'them' if len(unused) > 1 else 'it'} name the same file"
        yield warn("certificates", f"only those in {where} are believed; {', '.join(unused)} counts for nothing", todo)
    else:
        yield ok("certificates", f"only those in {where} are believed")


def token_variables(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The variables that hold a token, by name."""
    return tuple(name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN") if environ.get(name))
