"""Endpoints: what users and the environment may write, and what is made of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from acestep_fetch.configuration.values import parse_endpoint
from acestep_fetch.core.errors import UsageError


def base_url(text: str, name: str = "an endpoint") -> str:
    """An endpoint without its trailing slash; a bare host gets ``https://`` (as modelscope's `normalize_endpoint`).

    A path is kept, because mirrors may live under one. Raises `UsageError` with the variable's `name`, which
    never quotes a password.
    """
    try:
        return parse_endpoint(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from None


def origin_of(url: str) -> str:
    """Scheme, host and port, in one spelling: lower case, without a default port. "" for what has no host."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not host:
        return ""
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(scheme)
    return f"{scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""
