"""How long a signed URL will live, read off the URL itself. Hints only: a 403 is the final word.

Spellings seen: ``Expires=<epoch>`` (CloudFront), ``X-Amz-Date`` with ``X-Amz-Expires`` (S3), ``auth_key=<epoch>-...``
(Alibaba type A, where the epoch may be the time of signing as well as of expiry).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

RENEW_AHEAD: Final = 30.0  # seconds of life below which a link is renewed before it is used


def expires_at(url: str, now: float) -> float | None:
    """Epoch seconds at which `url` will be refused; None where it does not say (or says something absurd)."""
    query = {key.lower(): values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    moment: float | None = None
    if query.get("expires", "").isdecimal():
        moment = float(query["expires"])
    elif "x-amz-date" in query and query.get("x-amz-expires", "").isdecimal():
        try:
            signed = datetime.strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None
        moment = signed.timestamp() + float(query["x-amz-expires"])
    elif (first := query.get("auth_key", "").split("-")[0]).isdecimal() and float(first) > now:
        moment = float(first)
    return moment if moment is not None and now - 86400 < moment < now + 366 * 86400 else None


def is_fresh(expiry: float | None, now: float, resolved: float) -> bool:
    """Whether a link resolved at `resolved` is good for one more request: it is renewed ahead of its end,
    at 80 % of a short life."""
    if expiry is None or expiry <= resolved:  # our clock is ahead: only a refusal can tell
        return True
    margin = min(RENEW_AHEAD, 0.2 * (expiry - resolved))
    return now < expiry - margin
