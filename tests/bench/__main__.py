"""``python -m tests.bench``: every tool on the same emulated links in the same run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench import local
from tests.bench.network import ROOT, why_not
from tests.bench.playing import merged, play, summaries
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.table import best_peer, grid, replaced, results, verdict
from tests.bench.tools import OURS, TOOLS

DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
_LOCAL: Final = {"tls": local.tls, "big": local.big, "limit": local.limit}
_BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    if args.kept:
        return _shown(_kept(args.kept), args.write)
    if reason := why_not():
        print(f"bench: skipped: {reason}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the links are taken down
    where = Path(os.environ.get("ACESTEP_BENCH_DIR") or ROOT / "build" / "bench").resolve()
    where.mkdir(parents=True, exist_ok=True)
    tools = [tool for tool in TOOLS if tool.name in args.peer]
    played = dict[str, Any]()
    for scenario in SCENARIOS:
        if scenario.name in args.scenario:
            played[scenario.name] = play(scenario, tools, args.runs, where, _say)
            _say("\n" + _told(scenario, played[scenario.name]))
            _save(args.json, played)
    for name, measure in _LOCAL.items():
        if name in args.scenario:
            played[name] = measure(args.runs, where)
            _say("\n" + local.table(name, played[name]))
            _save(args.json, played)
    if args.write:
        _write(played)
    return 0


def _kept(files: Sequence[Path]) -> dict[str, Any]:
    sessions = [json.loads(file.read_text())["played"] for file in files]
    names = [*_BY_NAME, *_LOCAL]
    found = {name: [session[name] for session in sessions if name in session] for name in names}
    return {name: merged(each) for name, each in found.items() if each}


def _shown(played: dict[str, Any], is_written: bool) -> int:
    for name, result in played.items():
        _say(_section(name, result))
    _say(overview({name: result for name, result in played.items() if name in _BY_NAME}))
    if is_written:
        _write(played)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [*(scenario.name for scenario in SCENARIOS), *_LOCAL]
    parser.add_argument("--scenario", action="append", choices=names, help="repeatable; default: all")
    parser.add_argument("--peer", action="append", choices=[tool.name for tool in TOOLS], help="repeatable")
    parser.add_argument("--runs", type=int, default=3, help="rounds; the median counts (default 3)")
    parser.add_argument("--quick", action="store_true", help=f"only {OURS}, one run")
    parser.add_argument("--json", type=Path, help="where to keep every single run")
    parser.add_argument(
        "--kept", type=Path, action="append", help="show what --json kept, all files together, instead of measuring"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    args = parser.parse_args(argv)
    args.scenario = args.scenario or names
    if args.quick:
        args.runs, args.peer = 1, [OURS]
    args.peer = args.peer or [tool.name for tool in TOOLS]
    return args


def _told(scenario: Scenario, played: dict[str, Any]) -> str:
    found, ideal = summaries(played), played["ideal"]
    about = f"{scenario.about}; {played['bytes'] / 1e6:.0f} MB in {played['files']} files"
    lines = [f"**{scenario.name}**: {about}" + (f"; ideal {ideal:.1f} s" if ideal else ""), ""]
    lines.append(results(found, ideal))
    if OURS in found:
        peers = {name: summary for name, summary in found.items() if name != OURS}
        lines.append(verdict(found[OURS], peers, ideal, scenario.bar) or "")
    lines += [f"Not run: {name}: {why}." for name, why in played["skipped"].items()]
    return "\n".join(lines).rstrip() + "\n"


def _save(target: Path | None, played: dict[str, Any]) -> None:
    if target is not None:
        target.write_text(json.dumps({"commit": _commit(), "played": played}, indent=1))


def _section(name: str, result: dict[str, Any]) -> str:
    return _told(_BY_NAME[name], result) if name in _BY_NAME else f"**{name}**\n\n{local.table(name, result)}"


def overview(played: dict[str, dict[str, Any]]) -> str:
    """One row for each scenario: this program, its bar, and the best peer that brought everything right."""
    rows = list[tuple[str, ...]]()
    for name, result in played.items():
        found, ideal, bar = summaries(result), result["ideal"], _BY_NAME[name].bar
        ours = found.pop(OURS, None)
        limit = f"{bar.seconds(ideal):.1f}" if bar and ideal else ""
        best = best_peer(found)
        peer = (best, f"{found[best].wall:.1f}") if best else ("", "")
        ahead = f"{found[best].wall / ours.wall:.2f}" if best and ours else ""
        rows.append((name, f"{ideal:.1f}" if ideal else "", limit, f"{ours.wall:.1f}" if ours else "", *peer, ahead))
    return grid(("scenario", "ideal s", "bar s", f"{OURS} s", "best peer", "its s", "ahead x"), rows)


def _write(played: dict[str, Any]) -> None:
    """Puts each scenario's table in its place, with the date; what was not played stays as it is."""
    document = DOCUMENT.read_text()
    today = datetime.now(UTC).date().isoformat()
    for name, result in played.items():
        document = replaced(document, name, f"{_section(name, result)}\nMeasured {today}.\n")
    if _BY_NAME.keys() <= played.keys():
        document = replaced(document, "overview", overview({name: played[name] for name in _BY_NAME}))
    DOCUMENT.write_text(document)


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
