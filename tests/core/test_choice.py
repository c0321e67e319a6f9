"""Every combination of answers: nothing is decided that an outstanding answer could still change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from acestep_fetch.core.choice import Answers, Choice, at_deadline, choose, only
from acestep_fetch.core.model import HubName

HF, MS = HubName.HUGGINGFACE, HubName.MODELSCOPE
STATES = (True, False, None)
PREFERENCES = (None, HF, MS)
COMBINATIONS = list(product(STATES, STATES, STATES, PREFERENCES))  # google, hf, ms, prefer
SOME_HUB_MAY_ANSWER = [row for row in COMBINATIONS if row[1] is not False or row[2] is not False]
NO_HUB_ANSWERS = [row for row in COMBINATIONS if row[1] is False and row[2] is False]


def answers(google: bool | None, hf: bool | None, ms: bool | None) -> Answers:
    return Answers(google, {HF: hf, MS: ms})


def completions(*states: bool | None) -> Iterator[tuple[bool | None, ...]]:
    return product(*((True, False) if state is None else (state,) for state in states))


def orders_to_come(google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None) -> set[object]:
    """Every order that could still come out once nothing is outstanding."""
    return {at_deadline(answers(*final), prefer).order for final in completions(google, hf, ms)}


def outcomes(google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None) -> set[object]:
    """The same, and whether the hub that comes first is there at all."""
    return {
        (order := at_deadline(answers(*final), prefer).order, answers(*final).of(order[0]))
        for final in completions(google, hf, ms)
    }


@pytest.mark.parametrize(("google", "hf", "ms", "prefer"), SOME_HUB_MAY_ANSWER)
def test_a_choice_stands_whatever_comes_later(
    google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None
) -> None:
    choice = choose(answers(google, hf, ms), prefer)
    if choice is not None:
        assert orders_to_come(google, hf, ms, prefer) == {choice.order}


@pytest.mark.parametrize(("google", "hf", "ms", "prefer"), SOME_HUB_MAY_ANSWER)
def test_nothing_is_waited_for_that_cannot_matter(
    google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None
) -> None:
    if choose(answers(google, hf, ms), prefer) is None:
        assert len(outcomes(google, hf, ms, prefer)) > 1


@pytest.mark.parametrize(("google", "hf", "ms", "prefer"), NO_HUB_ANSWERS)
def test_two_dead_hubs_are_waited_for_no_longer(
    google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None
) -> None:
    choice = choose(answers(google, hf, ms), prefer)
    assert choice is not None
    assert choice.why == "neither hub answers"
    assert choice.order[0] is (prefer or (MS if google is False else HF))


@pytest.mark.parametrize(("google", "hf", "ms", "prefer"), COMBINATIONS)
def test_at_the_deadline_silence_is_failure_and_a_live_hub_goes_first(
    google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None
) -> None:
    choice = at_deadline(answers(google, hf, ms), prefer)
    assert set(choice.order) == {HF, MS}
    alive = {hub for hub, state in ((HF, hf), (MS, ms)) if state}
    if len(alive) == 1:
        assert choice.order[0] in alive
    else:
        assert choice.order[0] is (prefer or (HF if google else MS))
    early = choose(answers(google, hf, ms), prefer)
    if early is not None and alive:
        assert early.order == choice.order


@pytest.mark.parametrize(
    ("google", "hf", "ms", "prefer", "why"),
    [
        (True, True, None, None, "Google is reachable"),
        (False, None, True, None, "Google is not reachable"),
        (True, False, True, None, "Hugging Face does not answer"),
        (None, True, False, None, "ModelScope does not answer"),
        (True, True, True, MS, "ModelScope is preferred"),
        (None, True, False, MS, "ModelScope does not answer"),
        (True, False, False, MS, "neither hub answers"),
    ],
)
def test_the_reason_that_is_given_is_the_true_one(
    google: bool | None, hf: bool | None, ms: bool | None, prefer: HubName | None, why: str
) -> None:
    choice = choose(answers(google, hf, ms), prefer)
    assert choice is not None
    assert choice.why == why


@pytest.mark.parametrize("prefer", PREFERENCES)
def test_with_no_answer_at_all_nothing_is_chosen(prefer: HubName | None) -> None:
    assert choose(Answers(), prefer) is None
    assert choose(Answers(hubs={}), prefer) is None


def test_one_hub_alone_is_asked_with_the_reason() -> None:
    for hub in HubName:
        assert only(hub) == Choice((hub,), f"only {hub.title} is asked")
