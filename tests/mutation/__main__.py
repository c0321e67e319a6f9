"""``python -m tests.mutation [MODULE ...]``: which mutants of `core/` do its tests not notice?

Exit code 1 says that one survived for which `docs/mutants.md` has no reason. What was found is kept under `.mutants/`
until the module or its tests change, so that a run may be cut into parts (``--seconds``; exit code 3 while some are
left).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from tests.mutation import running
from tests.mutation.findings import Findings
from tests.mutation.mutants import Mutant, mutants_of, mutated

ROOT: Final = Path(__file__).parents[2]
REASONS: Final = ROOT / "docs" / "mutants.md"
# In the order of what a mistake in them costs.
MODULES: Final = (
    *("spans", "merge", "paths", "replies", "retry", "stealing", "choice", "scoring", "budget", "model", "errors"),
    *("events", "links", "interfaces", "pacing"),
)
KEPT: Final = ROOT / ".mutants"
ALL_VALUES: Final = ROOT / "tests" / "core" / "test_values.py"  # says what holds of every module


class Module:
    """A module of `core/`, its mutants, and what is known of them."""

    def __init__(self, name: str, *, only_survivors: bool) -> None:
        self.name = name
        file = ROOT / "acestep_fetch" / "core" / f"{name}.py"
        beside = ROOT / "tests" / "core"
        tests = [*sorted(beside.glob(f"test_{name}.py")), *sorted(beside.glob(f"test_{name}_*.py")), ALL_VALUES]
        self.source, self.tests = file.read_text(encoding="utf-8"), [str(test) for test in tests]
        self.mutants = mutants_of(self.source)
        self.findings = Findings.kept(KEPT / f"{name}.json", file, tests, only_survivors=only_survivors)

    @property
    def left(self) -> list[int]:
        return [n for n in range(len(self.mutants)) if n not in self.findings.survived]

    @property
    def survivors(self) -> list[Mutant]:
        return [self.mutants[n] for n, survived in sorted(self.findings.survived.items()) if survived]

    def try_all(self, until: float, workers: int) -> None:
        """Tries what is left, one mutant after the other, as far as time allows."""
        left = iter(self.left)
        if not self.left:
            return
        limit = self._limit()
        at_work, more = dict[int, int](), True
        while more or at_work:
            while more and len(at_work) < workers:
                number = next(left, None) if monotonic() < until else None
                more = number is not None
                if number is not None:
                    tree = mutated(self.source, self.mutants[number])
                    at_work[running.start(f"acestep_fetch.core.{self.name}", tree, self.tests, limit)] = number
            if at_work:
                child, verdict = running.finished()
                self.findings.survived[at_work.pop(child)] = verdict.passed
                self.findings.seconds += verdict.seconds
        self.findings.keep()

    def _limit(self) -> int:
        """CPU seconds that a mutant may take: many times what the module takes as it is."""
        running.start(f"acestep_fetch.core.{self.name}", ast.parse(self.source), self.tests, 600)
        _, verdict = running.finished()
        if not verdict.passed:
            sys.exit(f"{self.name}: its tests fail without any mutation: {' '.join(self.tests)}")
        return 3 + int(5 * verdict.seconds)

    def row(self) -> str:
        killed = sum(not survived for survived in self.findings.survived.values())
        counts = f"{len(self.mutants)} | {killed} | {len(self.survivors)}"
        return f"| {self.name} | {counts} | {self.findings.seconds:.0f} |"


class Reasons:
    """Why the known survivors may live: a table whose rows are module, line, mutations (or "any") and reason."""

    def __init__(self, table: str) -> None:
        found = re.findall(r"^\| (\w+) \| `(.+)` \| (`.+`|any) \| .+ \|$", table.replace("\\|", "|"), re.MULTILINE)
        self._rows = {
            (module, text, change)
            for module, text, changes in found
            for change in re.findall(r"`(.+?)`", changes) or ["any"]
        }

    def cover(self, module: str, text: str, change: str) -> bool:
        return not self._rows.isdisjoint({(module, text, change), (module, text, "any")})


def _cell(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="all, unless named")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to go on now")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only-survivors", action="store_true", help="what was killed before stays killed")
    given = parser.parse_args(arguments)
    modules = [Module(name, only_survivors=given.only_survivors) for name in given.modules or MODULES]
    until = monotonic() + given.seconds
    print("| module | mutants | killed | survivors | CPU seconds |\n| --- | --: | --: | --: | --: |")
    for module in modules:
        module.try_all(until, given.workers)
        print(module.row(), flush=True)
    known = Reasons(REASONS.read_text(encoding="utf-8"))
    unknown = [(m, s) for m in modules for s in m.survivors if not known.cover(m.name, s.text, s.name)]
    for module, mutant in unknown:
        print(f"| {module.name} | {_cell(mutant.text)} | {_cell(mutant.name)} | ? |  <- line {mutant.line}")
    if any(module.left for module in modules):
        return 3
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
