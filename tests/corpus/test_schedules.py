"""Random schedules of faults: every run ends, says how, and leaves nothing wrong; the run after it ends well. Meanwhile
it says what it waits for and until when, where that takes long."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import pytest

from tests.corpus.lies import Garbled, Raw
from tests.corpus.rows import BODIES, FILES, LISTS, STATUSES, Row
from tests.corpus.running import Outcome, run_all
from tests.support.faults import Action, Delay, Kind, Rule, Status, too_many

SOME: Final = range(40)
MANY: Final = range(1000, 1500)
SILENT: Final = 12.0  # seconds: what lasts longer is told after five or six, on a machine that is not loaded
DOCUMENTED: Final = frozenset((0, 3, 4, 5, 6, 7))

_LIES: Final[tuple[Action, ...]] = tuple(action for _, action, _ in BODIES)
_LISTS: Final[tuple[Action, ...]] = tuple(
    action for _, action, _ in LISTS if not (isinstance(action, Garbled) and len(action.body) > 1 << 20)
)


def schedule(seed: int) -> Row:
    """Up to four faults at each hub, at a random step, for a random file, some times or for ever."""
    draw = random.Random(seed)
    return Row(f"schedule {seed}", hf=_rules(draw), ms=_rules(draw))


def _rules(draw: random.Random) -> tuple[Rule, ...]:
    return tuple(_rule(draw) for _ in range(draw.choice((0, 1, 1, 2, 3, 4))))


def _rule(draw: random.Random) -> Rule:
    kind = draw.choice(tuple(Kind))
    choices: list[Action] = [Status(draw.choice(STATUSES)), too_many(draw.choice((1, None))), Delay(draw.random())]
    pool = _LISTS if kind is Kind.API else _LIES
    action = draw.choice([*choices, *draw.choices(pool, k=6)])
    always = draw.random() < 0.25 and not isinstance(action, Raw)
    return Rule(
        action,
        kind=kind,
        path="*" if kind is Kind.API else draw.choice(("*", *FILES)),
        first=None if always else draw.randint(1, 6),
        after=draw.choice((0, 0, 1, 3)),
    )


def _check(rows: list[Row], folder: Path) -> None:
    bad = [f"{name}: {what}" for name, outcome in run_all(rows, folder).items() if (what := _wrong_with(outcome))]
    assert not bad, "\n".join(bad)


def _wrong_with(outcome: Outcome) -> str:
    if outcome.trouble is not None or outcome.report is None or outcome.again is None:
        return f"did not end: {outcome.trouble!r}"
    code = outcome.report.exit_code
    if outcome.wrong or outcome.whole != (code == 0):
        return f"exit {code}, wrong files {outcome.wrong}"
    if outcome.silence.longest > SILENT:
        return f"silent for {outcome.silence.longest:.1f} s after {outcome.silence.since}"
    if code not in DOCUMENTED or (code and not outcome.report.error):
        return f"exit {code} without a reason"
    if (outcome.again.exit_code, outcome.whole_again) != (0, True) or outcome.leftovers:
        return f"the next run: exit {outcome.again.exit_code}, left {outcome.leftovers}"
    return ""


@pytest.mark.timeout(600)
def test_some_schedules(tmp_path: Path) -> None:
    _check([schedule(seed) for seed in SOME], tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_five_hundred_schedules(tmp_path: Path) -> None:
    _check([schedule(seed) for seed in MANY], tmp_path)
