"""Whose certificates are believed: one TLS context for API and byte streams alike, and what its refusals mean."""

from __future__ import annotations

import errno
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import Failure, SourceError, UsageError
from acestep_fetch.transport.causes import chain

_GIVEN: Final = "--ca-bundle (ACESTEP_FETCH_CA_BUNDLE)"
_OPENSSL: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # one beside the other, as OpenSSL has it
_OTHERS: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_AUTHORITY: Final = (
    "where a company's network or your own hub has an authority of its own, "
    "name its certificate with --ca-bundle FILE, SSL_CERT_FILE or REQUESTS_CA_BUNDLE"
)
_PEM: Final = "it is to be a file of certificates in PEM form (-----BEGIN CERTIFICATE-----)"
_HINTS: Final = {  # by OpenSSL's verify codes
    9: "is this machine's clock right? The certificate begins to hold later",
    10: "is this machine's clock right? Otherwise only the server's owner can mend it, or try another hub or mirror",
    62: "the server is not the one that the address names: look at HF_ENDPOINT, MODELSCOPE_ENDPOINT and the proxy",
    64: "the server is not the one that the address names: look at HF_ENDPOINT, MODELSCOPE_ENDPOINT and the proxy",
}


def trust(bundle: Path | None = None, environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """A context that believes the certificates of `bundle` (a PEM file, or a folder as OpenSSL hashes it), else those
    that the environment names, and then nobody else; else those of the system, and certifi's where it has none.

    May read some 150 certificates, so it is for a thread. Raises `UsageError` that names what cannot be read.
    """
    if named := named_by(bundle, os.environ if environ is None else environ):
        return _believing(named)
    context = ssl.create_default_context()
    if sys.platform != "linux" or not _has_certificates(ssl.get_default_verify_paths()):
        from certifi import where

        context.load_verify_locations(where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _has_certificates(paths: ssl.DefaultVerifyPaths) -> bool:
    """Python gives only paths that exist; a folder may be empty, as in an image without ca-certificates."""
    return bool(paths.cafile or (paths.capath and os.listdir(paths.capath)))


def named_by(bundle: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Paths by the name of what names them, of the highest rank that is set. Set and empty is not set."""
    openssl = {name: environ[name] for name in _OPENSSL if environ.get(name)}
    others = ({name: environ[name]} for name in _OTHERS if environ.get(name))
    return {_GIVEN: str(bundle)} if bundle else openssl or next(others, {})


def named_in_vain(bundle: Path | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that are set, name something else, and count for nothing beside those of a higher rank."""
    named = named_by(bundle, environ)
    return tuple(name for name in (*_OPENSSL, *_OTHERS) if environ.get(name, "") not in ("", *named.values()))


def _believing(named: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as curl: a server's own certificate may be named
    context.set_alpn_protocols(["http/1.1"])
    for name, path in named.items():
        try:
            if name == "SSL_CERT_DIR":
                _load_folders(context, path)
            elif os.path.isdir(path):
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except ssl.SSLError:
            raise UsageError(f"{name}: {path} holds no certificates that can be read", hint=_PEM) from None
        except (OSError, ValueError) as exc:
            said = getattr(exc, "strerror", None) or "cannot be read"
            raise UsageError(f"{name}: {path}: {said}", hint=f"name a file that is there; {_PEM}") from None
    return context


def _load_folders(context: ssl.SSLContext, paths: str) -> None:
    """Raises `FileNotFoundError` where none of them is there: OpenSSL would say nothing and believe nobody."""
    if not any(os.path.isdir(path) for path in paths.split(os.pathsep)):
        raise FileNotFoundError(errno.ENOENT, "no such folder")
    context.load_verify_locations(capath=paths)


def tls_error(exc: BaseException, host: str) -> SourceError | None:
    """What an exception says about `host`'s certificate, or about TLS; None where it, and what caused it, says nothing
    of that."""
    of_tls = [cause for cause in chain(exc) if isinstance(cause, ssl.SSLError)]
    if not of_tls:
        return None
    lowest = of_tls[-1]  # aiohttp's own are ssl.SSLErrors too, without the facts
    if isinstance(lowest, ssl.SSLCertVerificationError):
        return _untrusted(lowest, host)
    reason = (getattr(lowest, "reason", None) or "the handshake failed").lower().replace("_", " ")
    return SourceError(Failure.UNREACHABLE, f"{host}: TLS: {reason}")


def _untrusted(cause: ssl.SSLCertVerificationError, host: str) -> SourceError:
    reason = getattr(cause, "verify_message", None) or "it cannot be verified"
    hint = _HINTS.get(getattr(cause, "verify_code", 0), _AUTHORITY)
    return SourceError(Failure.UNTRUSTED, f"{host}: the certificate is not trusted: {reason}", hint=hint)
