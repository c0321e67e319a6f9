"""All checks in order: what is nearest to the user first, and what everything else rests on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import UsageError
from acestep_fetch.doctor import belief, folder, machine, strays
from acestep_fetch.doctor.findings import Finding, fail, ok
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout, choose_folder

_NO_DISK: Final = "see that the disk is there, and that the folder is yours to read"


def examine(
    options: Options, *, origin: str, offline: bool, environ: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Every finding as soon as it is there. `origin` names what chose the folder. Blocks for some ten seconds at the
    most, unless a disk does not answer; opens no socket if `offline`. Raises `DiskError` where the working folder is
    gone."""
    env = os.environ if environ is None else environ
    yield machine.of_python(installed := machine.versions())
    if offline:
        yield ok("network", "not looked at (--offline)")
    else:
        yield from machine.of_proxies(options.proxy, options.no_proxy)
        if None not in installed.values():
            yield from _network(options, env)
    root, note = choose_folder(options.directory)
    try:
        yield from _disk(Path(root), note, origin, env)
    except OSError as exc:
        yield fail("folder", f"{exc.filename or root}: {exc.strerror or exc}", _NO_DISK)


def _network(options: Options, environ: Mapping[str, str]) -> Iterator[Finding]:
    from acestep_fetch.doctor.network import look_at_network
    from acestep_fetch.doctor.verdicts import of_network
    from acestep_fetch.transport.trust import named_by, named_in_vain

    bundle = options.ca_bundle
    yield from machine.of_certificates(named_by(bundle, environ), named_in_vain(bundle, environ))
    try:
        facts = look_at_network(options)
    except UsageError as error:  # a proxy, an endpoint or certificates that cannot be used
        yield fail("network", f"nothing can be asked: {error.message}", error.hint or "")
        return
    yield from of_network(facts, options.prefer, options.probe_deadline)


def _disk(root: Path, note: str | None, origin: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield from folder.of_folder(folder.look_at_folder(root, note, origin, environ))
    named = root if origin == "--dir" else None  # what is to be typed needs it too
    yield from belief.of_models(belief.look_at_models(root), named)
    yield from strays.of_strays(strays.find_strays(root), named)
    yield from strays.of_leftovers(strays.look_at_leftovers(Layout(root)), named)
