"""Plays a scenario: the tools in turn, round after round, so that a drift of the machine hits all of them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.bench.corpora import Corpus, corpus, missing_or_wrong
from tests.bench.figures import Run, Summary, added, most_at_once, summarize
from tests.bench.measure import Usage, run
from tests.bench.network import Network, network
from tests.bench.scenarios import HF, HOSTS, Scenario
from tests.bench.tools import Job, Tool

ONCE: Final = 3.0  # a tool that takes this many times the ideal is not timed again
HOPELESS: Final = 5.0  # and one whose only hub cannot do it in this many times the ideal not at all
REPEATS: Final = 2  # of a run that the machine spoilt, unless the tool itself always does that

Say = Callable[[str], None]


def play(scenario: Scenario, tools: Sequence[Tool], runs: int, where: Path, say: Say) -> dict[str, Any]:
    """The results as plain data: what was to be done, and for each tool its runs and their summary."""
    things = corpus(scenario.corpus, where / "corpora")
    ideal = scenario.ideal(things.size)
    fit, skipped = _fitting(scenario, things, tools)
    done: dict[str, list[Run]] = {tool.name: [] for tool in fit}
    with network(scenario, things) as links:
        for number in range(runs):
            for tool in fit:
                if number and not _worth_repeating(done[tool.name], ideal, things):
                    continue
                repeats = 0 if done[tool.name] and done[tool.name][-1].is_noisy else REPEATS
                result = _steady(scenario, tool, things, links, where / "run", repeats)
                done[tool.name].append(result)
                say(_line(scenario, tool, number, result, ideal))
    summaries = {name: summarize(each, things.size) for name, each in done.items() if each}
    return {
        "scenario": scenario.name,
        "bytes": things.size,
        "files": len(things.wanted),
        "ideal": None if things.size < 100e6 else ideal,
        "skipped": skipped,
        "runs": {name: [asdict(each) for each in results] for name, results in done.items()},
        "summary": {name: asdict(summary) for name, summary in summaries.items()},
    }


def merged(kept: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several sessions of one scenario as one: the runs of each tool together."""
    runs = dict[str, list[dict[str, Any]]]()
    for played in kept:
        for name, results in played["runs"].items():
            runs[name] = runs.get(name, []) + results
    together = kept[0] | {"runs": runs}
    if "bytes" in together:
        together["summary"] = {
            name: asdict(summarize([Run(**each) for each in results], together["bytes"]))
            for name, results in runs.items()
            if results
        }
    return together


def summaries(played: dict[str, Any]) -> dict[str, Summary]:
    return {name: Summary(**fields) for name, fields in played["summary"].items()}


def _fitting(scenario: Scenario, things: Corpus, tools: Sequence[Tool]) -> tuple[list[Tool], dict[str, str]]:
    fit, skipped = list[Tool](), dict[str, str]()
    for tool in tools:
        if tool.hub in scenario.down or (tool.needs_both and scenario.down):
            skipped[tool.name] = "its hub is down"
        elif tool.hub and scenario.ideal(things.size, (tool.hub,)) > HOPELESS * scenario.ideal(things.size):
            skipped[tool.name] = f"its hub alone needs {scenario.ideal(things.size, (tool.hub,)):.0f} s"
        elif reason := tool.install():
            skipped[tool.name] = reason
        else:
            fit.append(tool)
    return fit, skipped


def _worth_repeating(so_far: Sequence[Run], ideal: float, things: Corpus) -> bool:
    return things.size < 100e6 or so_far[0].wall < ONCE * ideal


def _steady(scenario: Scenario, tool: Tool, things: Corpus, links: Network, where: Path, repeats: int) -> Run:
    """One run, done again where something else kept the machine busy; the last is flagged if it was too."""
    for _ in range(repeats + 1):
        result = _once(scenario, tool, things, links, where)
        if not result.is_noisy:
            break
    return result


def _once(scenario: Scenario, tool: Tool, things: Corpus, links: Network, where: Path) -> Run:
    shutil.rmtree(where, ignore_errors=True)
    (where / "scratch").mkdir(parents=True)
    urls = {hub: f"http://{HOSTS[hub]}" for hub in links.hubs}
    job = Job(things, urls, scenario.better, where / "checkpoints", where / "scratch")
    job.checkpoints.mkdir()
    command, ideal = links.command(tool.command(job)), scenario.ideal(things.size)
    at = (ideal / 2, lambda: links.stall(HF, scenario.stall)) if scenario.stall else None
    own = time.process_time()
    links.begin()
    used = run(command, tool.environment(job), where / "log", timeout=12 * ideal + 120, at=at)
    counters, wan = links.end()
    own = time.process_time() - own
    busy = own + wan["cpu_user_s"] + wan["cpu_sys_s"] + sum(hub["cpu"] for hub in counters.values())
    result = _run(used, list(counters.items()), wan["late_p99_us"], used.others - busy)
    wrong = missing_or_wrong(job.folder, things.wanted)
    if wrong or used.code:
        _keep(where / "log", where.parent / f"failed-{scenario.name}-{tool.name.replace(' ', '-')}.log")
    shutil.rmtree(where, ignore_errors=True)
    return Run(**{**asdict(result), "wrong": wrong})


def _run(used: Usage, counters: list[tuple[Any, dict[str, Any]]], late: float, foreign: float) -> Run:
    return Run(
        wall=used.wall,
        cpu=used.cpu,
        rss=used.rss,
        code=used.code,
        served={hub.value: each["served"] for hub, each in counters},
        requests=added(each["requests"] for _, each in counters),
        connections=most_at_once(span for _, each in counters for span in each["connections"]),
        late_p99_us=late,
        foreign=max(0.0, foreign) / used.wall,
    )


def _keep(log: Path, name: Path) -> None:
    os.replace(log, name)


def _line(scenario: Scenario, tool: Tool, number: int, run: Run, ideal: float) -> str:
    state = "right" if not run.wrong else f"{len(run.wrong)} wrong"
    noise = f" NOISY late {run.late_p99_us:.0f} us, others {run.foreign:.2f}" if run.is_noisy else ""
    return (
        f"{scenario.name:10} {tool.name:14} #{number + 1} {run.wall:6.1f} s, ideal {ideal:.1f} s  "
        f"conns {run.connections:3}  exit {run.code} {state}{noise}"
    )
