"""``acestep-fetch doctor``: what could keep a download or ACE-Step from working here, and what to do about it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from acestep_fetch.cli.arguments import (
    add_folder,
    add_json,
    add_offline,
    add_sources,
    command_parser,
    options_of,
    origin_of,
)
from acestep_fetch.cli.columns import print_folded
from acestep_fetch.cli.results import print_document, results
from acestep_fetch.core.errors import IncompleteError
from acestep_fetch.display.units import one_line, plural
from acestep_fetch.doctor.checkup import examine
from acestep_fetch.doctor.findings import Finding, Level
from acestep_fetch.doctor.mending import Removal, mend
from acestep_fetch.doctor.report import INDENT, line, report
from acestep_fetch.options import expanded
from acestep_fetch.storage import platform
from acestep_fetch.storage.layout import Layout, choose_folder


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "doctor",
        "Looks at Python, proxies, certificates, both hubs, the disk and the models: what ACE-Step takes for "
        "installed, and what is true. The flags of where from are those of `get`, so that what `get` is told can be "
        "looked at; a token is read, and not tried. Takes ten seconds at the most. Ends with 0 if nothing FAILs, with "
        "11 otherwise.",
        "  acestep-fetch doctor\n"
        "  acestep-fetch doctor --fix                    removes empty model folders and what other tools left\n"
        "  acestep-fetch doctor --proxy http://p:3128    would it work that way?\n"
        "  acestep-fetch doctor --report doctor.txt      for a bug report: without tokens and your name",
    )
    add_folder(top)
    top.add_argument("--fix", action="store_true", help="mend what needs no network and can do no harm")
    add_offline(top)
    add_json(top)
    top.add_argument("--report", metavar="FILE", help="also write all of it into FILE, without secrets")
    add_sources(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    options = options_of(given)
    root = Path(choose_folder(options.directory)[0])
    fixed = _fixed(root, quiet=given.json) if given.fix else []
    findings = list[Finding]()
    for finding in examine(options, origin=origin_of(given, "dir"), offline=options.offline):
        findings.append(finding)
        with results():  # who stops reading stops no check, and no report
            if not given.json:
                print_folded(one_line(line(finding)), " " * INDENT)
    with results():
        if given.json:
            print_document("doctor", _document(root, findings, fixed))
    if given.report:
        _write(expanded(given.report), report(findings, root))
    return _verdict(findings)


def _fixed(root: Path, *, quiet: bool) -> list[Removal]:
    """Each is named before it is done."""
    fixed = list[Removal]()

    def tell(removal: Removal) -> None:
        fixed.append(removal)
        with results():
            if not quiet:
                print(one_line(f"fix   removing {removal.path}  ({removal.why})"))

    try:
        mend(Layout(root), tell)
    except OSError as exc:
        raise platform.explain(exc, exc.filename or root) from exc
    return fixed


def _document(root: Path, findings: Sequence[Finding], fixed: Sequence[Removal]) -> dict[str, object]:
    return {
        "folder": str(root),
        "ok": not any(finding.level is Level.FAIL for finding in findings),
        "findings": [asdict(finding) | {"level": finding.level.lower()} for finding in findings],
        "fixed": [asdict(removal) for removal in fixed],
    }


def _verdict(findings: Sequence[Finding]) -> int:
    failed = [finding for finding in findings if finding.level is Level.FAIL]
    if failed:
        what = ", ".join(dict.fromkeys(finding.what for finding in failed))
        raise IncompleteError(
            f"{plural(len(failed), 'check')} failed: {what}", hint="do what stands behind the arrows above"
        )
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise platform.explain(exc, path) from exc
