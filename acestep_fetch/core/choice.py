"""Which hub comes first, decided as soon as the answer cannot change.

Google reachable: Hugging Face first. Google blocked: ModelScope first. ``--prefer-source`` overrules. A hub that does
not answer goes last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from acestep_fetch.core.model import HubName


@dataclass(frozen=True, slots=True)
class Answers:
    """What the probe race knows so far: True answered, False failed, None still out."""

    google: bool | None = None
    hubs: Mapping[HubName, bool | None] | None = None

    def of(self, hub: HubName) -> bool | None:
        return (self.hubs or {}).get(hub)


@dataclass(frozen=True, slots=True)
class Choice:
    order: tuple[HubName, ...]
    why: str


def only(hub: HubName) -> Choice:
    """Where one hub is to be asked, and no other."""
    return Choice((hub,), f"only {hub.title} is asked")


def choose(answers: Answers, prefer: HubName | None) -> Choice | None:
    """The order of the hubs, or None while an outstanding answer could still change it."""
    if prefer:
        return _behind(prefer, answers, f"{prefer.title} is preferred")
    if answers.google is None:
        return _without_google(answers)
    first = HubName.HUGGINGFACE if answers.google else HubName.MODELSCOPE
    return _behind(first, answers, "Google is reachable" if answers.google else "Google is not reachable")


def _behind(first: HubName, answers: Answers, why: str) -> Choice | None:
    if answers.of(first):
        return Choice((first, first.other), why)
    if answers.of(first) is None:
        return None
    if answers.of(first.other) is None:
        return None  # both may be down: worth waiting for
    return (
        Choice((first.other, first), f"{first.title} does not answer")
        if answers.of(first.other)
        else Choice((first, first.other), "neither hub answers")
    )


def _without_google(answers: Answers) -> Choice | None:
    """Google's answer is out: decided only where it could not matter."""
    if all(answers.of(hub) is False for hub in HubName):
        return Choice((HubName.HUGGINGFACE, HubName.MODELSCOPE), "neither hub answers")
    for hub in HubName:
        if answers.of(hub) and answers.of(hub.other) is False:
            return Choice((hub, hub.other), f"{hub.other.title} does not answer")
    return None


def at_deadline(answers: Answers, prefer: HubName | None) -> Choice:
    """The order once nothing more is waited for: what is still out counts as failed."""
    final = Answers(bool(answers.google), {hub: bool(answers.of(hub)) for hub in HubName})
    choice = choose(final, prefer)
    assert choice is not None  # nothing is out any more
    return choice
