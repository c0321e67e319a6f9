"""Where a hub's answer sends us, and what goes along.

Credentials go to the hub's own origin. A redirect to another origin travels without them, and never from https to http.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import Request
from acestep_fetch.core.secrecy import Secret, repeats

REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))  # statuses


def redirected(request: Request, target: str) -> Request:
    """The request for what the ``Location`` of its answer names. Raises `SourceError` where that must not be asked."""
    try:
        target = urljoin(request.url, target)
        here, there = urlsplit(request.url), urlsplit(target)
    except ValueError:
        raise SourceError(Failure.WRONG_REPLY, "a redirect to nowhere") from None
    if there.scheme not in ("http", "https") or not there.netloc:
        raise SourceError(Failure.WRONG_REPLY, "a redirect to nowhere")
    if (here.scheme, there.scheme) == ("https", "http"):
        raise SourceError(Failure.WRONG_REPLY, "a redirect from https to http")
    same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    if not same and repeats(target, request.headers):
        raise SourceError(Failure.WRONG_REPLY, "a redirect that takes our credentials to another host")
    kept: Mapping[str, str] = request.headers if same else {}
    return Request(Secret(target), kept)
