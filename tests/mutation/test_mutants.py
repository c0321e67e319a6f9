"""The mutator itself: each mutant is a program, and another one than its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from acestep_fetch.core import replies, retry
from tests.mutation.__main__ import Reasons
from tests.mutation.mutants import mutants_of, mutated

CLAMP = '''
def clamp(value: int, most: int = 10) -> int:
    """At most `most`."""
    if value > most:
        return most
    return value
'''


def test_everything_that_can_be_wrong_is_tried_once() -> None:
    assert [(mutant.line, mutant.change) for mutant in mutants_of(CLAMP)] == [
        (2, "10 -> 11"),
        (2, "10 -> 9"),
        (4, "if left out"),
        (4, "value > most -> value >= most"),
        (4, "value > most -> value <= most"),
        (5, "return most -> return None"),
        (6, "return value -> return None"),
    ]


def test_a_mutant_does_what_its_name_says() -> None:
    seen = list[int | None]()
    for mutant in mutants_of(CLAMP):
        names = dict[str, object]()
        exec(compile(mutated(CLAMP, mutant), "mutant", "exec"), names)
        seen.append(names["clamp"](20))  # type: ignore[operator]
    assert seen == [11, 9, 20, 10, 20, None, 10]


@pytest.mark.parametrize("module", [replies, retry])
def test_each_mutant_is_a_program_of_its_own(module: object) -> None:
    source = Path(str(module.__file__)).read_text(encoding="utf-8")  # type: ignore[attr-defined]
    mutants = mutants_of(source)
    programs = {ast.dump(tree) for tree in (mutated(source, mutant) for mutant in mutants)}
    assert len(programs) == len(mutants)
    assert ast.dump(ast.parse(source)) not in programs
    assert len({(mutant.text, mutant.name) for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        compile(mutated(source, mutant), "mutant", "exec")


def test_reasons_are_read_from_the_table() -> None:
    reasons = Reasons(
        "| module | line | mutation | why |\n| --- | --- | --- | --- |\n"
        "| retry | `a = b \\| c` | `b \\| c -> b & c`, `c -> d` | they never meet |\n"
        "| retry | `d = 1` | any | tuning |\n"
    )
    assert reasons.cover("retry", "a = b | c", "b | c -> b & c")
    assert reasons.cover("retry", "a = b | c", "c -> d")
    assert not reasons.cover("retry", "a = b | c", "b -> c")
    assert reasons.cover("retry", "d = 1", "1 -> 2")
    assert not reasons.cover("spans", "d = 1", "1 -> 2")
