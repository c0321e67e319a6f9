"""The commands that messages tell to type: each works as it is written, from whatever folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from acestep_fetch.catalogue.models import MAIN, load_catalogue


def command(words: str, folder: Path | str | None, names: Iterable[str] = ()) -> str:
    """``acestep-fetch`` with `words` and the `names` of models that are here; in `folder`, None for the usual one."""
    said = [word for word in ("acestep-fetch", words, *map(quote, names)) if word]
    return " ".join([*said, *(["--dir", quote(str(folder))] if folder else [])])


def to_fetch(
    models: Sequence[tuple[str, str]], folder: Path | str | None, *, flags: Iterable[str] = (), alone: bool = True
) -> str:
    """The command that fetches `models` (names and repositories) into `folder`, with more `flags`. It leaves out the
    main model where that is not among them, unless they are not to come `alone`."""
    words = [f"--model {quote(asked_as(name, repo))}" for name, repo in models if name != MAIN]
    if words and alone and not any(name == MAIN for name, _ in models):
        words.append("--skip-main")
    return command(" ".join([*words, *flags]), folder)


def asked_as(name: str, repo: str) -> str:
    """What ``--model`` takes for a model: its name, if the catalogue has it, else its repository."""
    known = {model.name: str(model.repo) for model in load_catalogue().known}
    return name if known.get(name) == repo else repo
