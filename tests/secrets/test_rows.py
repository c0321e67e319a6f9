"""No secret leaves: every row's requests, output, files, command line, and what a debugger would show."""

from __future__ import annotations

import shutil

import pytest

from tests.secrets.marks import ADDRESS, FILE, FLAG, HF, JAR, MARKS, MS, PROXY, SIGNATURE, Mark, found_in
from tests.secrets.rows import DROPPED, ROWS, Row
from tests.secrets.running import Evidence, as_text, run_all

HOME = {HF: "hf", FILE: "hf", FLAG: "hf", MS: "ms", JAR: "ms"}


@pytest.fixture(scope="module")
def evidence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    """The evidence of all rows that were selected."""
    here = [item for item in request.session.items if item.path == request.node.path]
    rows = [item.callspec.params["row"] for item in here if hasattr(item, "callspec")]
    rows = [row for row in rows if not row.tls or shutil.which("openssl")]
    return run_all(rows, tmp_path_factory.mktemp("secrets"))


@pytest.mark.timeout(600)  # the first one waits for all
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, evidence: dict[str, Evidence]) -> None:
    if row.tls and not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    found = evidence[row.name]
    assert found.trouble is None
    assert (found.codes[0], tuple(found.codes[1:])) == (row.exit, row.then_exits), found.said[-3000:]
    assert row.says in found.said
    shown = {place: marks for place, text in found.texts.items() if (marks := found_in(text, MARKS + found.signatures))}
    assert not shown, _where(found, shown)
    _check_origins(row, found)
    assert "child: " not in found.texts["file: dump"].decode(), "a process was started"
    assert "object: " in found.texts["file: dump"].decode() or not row.sends
    assert not found.asked.get(row.unasked)
    if row.says == DROPPED:
        _check_dropped(found)


def _check_origins(row: Row, found: Evidence) -> None:
    """Each secret was at its own origin, and nowhere else."""
    seen, homes = set[Mark](), {**HOME, SIGNATURE: row.signer}
    for server, entries in found.asked.items():
        for entry in entries:
            host = entry.headers.get("host", "")
            for mark in found_in(as_text(entry)):
                seen.add(mark)
                if mark is PROXY:
                    assert server == "proxy", (server, entry)
                    assert not found_in(entry.url.encode(), (mark,))
                elif mark in homes and not (server == "proxy" and host.startswith("127.0.0.2:")):
                    assert host in found.hosts[homes[mark]], (mark, entry)
                    assert mark is SIGNATURE or not found_in(entry.url.encode(), (mark,)), (mark, entry)
                else:
                    assert mark in homes or mark is ADDRESS, (mark, entry)
            assert "back=" not in entry.url or "authorization" not in entry.headers
    assert set(row.sends) <= seen, "the run sent no secret, and so proves nothing"


def _check_dropped(found: Evidence) -> None:
    """A refused token is not sent again, once the requests that were under way with it have been answered."""
    for server in ("hf", "ms"):
        entries = found.asked[server]
        refused = [
            at for at, entry in enumerate(entries) if "authorization" in entry.headers and entry.status in (400, 401)
        ]
        if refused:
            later = [entry for entry in entries[refused[0] + 3 :] if "authorization" in entry.headers]
            assert not later, later


def _where(found: Evidence, shown: dict[str, list[Mark]]) -> str:
    lines = []
    for place, marks in shown.items():
        hits = [line[:400] for line in found.texts[place].splitlines() if found_in(line, marks)]
        lines.append(f"{place}: {[mark.name for mark in marks]}: {hits[:4]}")
    return "\n".join(lines)


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
