"""Signed, expiring addresses for bytes, in the shapes that the two hubs' CDNs use.

Hugging Face's CDN takes ``Expires``, ``Policy``, ``Signature`` and ``Key-Pair-Id``; ModelScope's takes an Alibaba
"type A" ``auth_key={unix}-{32 hex}-0-{md5}`` (facts/huggingface.md 2, facts/modelscope.md 2). Whoever holds a
valid address may read the bytes, nobody else may; the key lives as long as the process.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

LIFETIME: Final = 3600.0  # seconds; what Hugging Face's CDN was seen to grant


class Signer:
    """Signs content digests. `clock` is wall time, because the expiry travels in the address."""

    def __init__(self, *, lifetime: float = LIFETIME, clock: Callable[[], float] = time.time) -> None:
        self.lifetime = lifetime
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def huggingface_query(self, sha256: str) -> dict[str, str]:
        expires = str(int(self._clock() + self.lifetime))
        return {
            "Expires": expires,
            "Policy": "embedded",
            "Signature": self._sign(sha256, expires),
            "Key-Pair-Id": "embedded",
        }

    def modelscope_query(self, sha256: str) -> dict[str, str]:
        expires, nonce = str(int(self._clock() + self.lifetime)), secrets.token_hex(16)
        return {"auth_key": f"{expires}-{nonce}-0-{self._sign(sha256, f'{expires}-{nonce}-0')}"}

    def accepts(self, sha256: str, query: Mapping[str, str]) -> bool:
        """Whether `query` was signed here for `sha256` and has not expired."""
        signed, _, signature = query.get("auth_key", "").rpartition("-")
        if not signed:
            signed, signature = query.get("Expires", ""), query.get("Signature", "")
        expires = signed.partition("-")[0]
        is_ours = hmac.compare_digest(self._sign(sha256, signed).encode(), signature.encode())
        return is_ours and expires.isascii() and expires.isdigit() and self._clock() < int(expires)

    def _sign(self, sha256: str, terms: str) -> str:
        return hmac.new(self._key, f"{sha256} {terms}".encode(), "sha256").hexdigest()[:32]
