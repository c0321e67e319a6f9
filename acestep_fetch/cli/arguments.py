"""Flags that several commands share, and what they say as `Options`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.secrecy import Secret
from acestep_fetch.options import Options, expanded, parse_count, parse_size, parse_source

_TOKEN_FILE: Final = "name a file with the token and nothing else; ACE-Step's own models need none"

PROGRESS: Final = ("auto", "bar", "plain", "json", "none")


class Parser(argparse.ArgumentParser):
    """A wrong argument is an error like any other, and not the end of the process: there may be somebody to tell."""

    def error(self, message: str) -> NoReturn:
        command = self.prog if " " in self.prog else f"{self.prog} get"  # whose own help is an overview
        raise UsageError(message, hint=f"{command} --help has all flags")


def command_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """The parser of ``acestep-fetch NAME``; `examples` are command lines, one below the other."""
    return Parser(
        prog=f"acestep-fetch {name}",
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_folder(to: argparse._ActionsContainer) -> None:
    to.add_argument("-d", "--dir", metavar="DIR", help="the checkpoints folder (default ./checkpoints)")
    to.add_argument("--local-dir", dest="dir", help=argparse.SUPPRESS)  # hf's word for it


def add_selection(to: argparse._ActionsContainer) -> None:
    """Which models, and which of their files."""
    to.add_argument(
        "-m", "--model", action="append", default=[], metavar="NAME", help="a model, or OWNER/NAME; repeatable"
    )
    to.add_argument("-a", "--all", action="store_true", help="every model of the catalogue")
    add_gpu(to)
    to.add_argument("--skip-main", action="store_true", help="do not fetch the main model along with another")
    to.add_argument("--include", action="append", default=[], metavar="GLOB", help="only files that match; repeatable")
    to.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no files that match; repeatable")
    to.add_argument("--revision", metavar="REV", help="a branch, tag or commit")


def add_gpu(to: argparse._ActionsContainer) -> None:
    to.add_argument(
        "--for-gpu",
        nargs="?",
        const="auto",
        metavar="12GB",
        help="the models that suit a GPU with so much memory, or this machine's (no value, or auto)",
    )


def add_sources(to: argparse._ActionsContainer) -> None:
    """Where from, and with whose leave."""
    to.add_argument("--prefer-source", metavar="SOURCE", help="huggingface, modelscope or auto")
    # ACE-Step's own words for it, and those of a fork's documentation
    to.add_argument("--download-source", "--source", dest="prefer_source", help=argparse.SUPPRESS)
    to.add_argument("-t", "--token", type=Secret, help="Hugging Face token; better: --token-file, it stays out of `ps`")
    to.add_argument("--token-file", metavar="FILE", help="a file that holds the token")
    to.add_argument(
        "--ca-bundle",
        metavar="FILE",
        help="believe the certificates in FILE (PEM) and no others; else those of ACESTEP_FETCH_CA_BUNDLE, "
        "SSL_CERT_FILE with SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, the first that is set; else the system's",
    )


def add_adoption(to: argparse._ActionsContainer) -> None:
    """What other folders of this machine may have."""
    to.add_argument(
        "--adopt",
        action="append",
        nargs="?",
        const="",
        metavar="DIR",
        help="take what DIR has of it; repeatable. Without DIR: Hugging Face's and ModelScope's caches, ComfyUI",
    )


def add_transfer(to: argparse._ActionsContainer) -> None:
    """How fast, at most."""
    to.add_argument("--limit-rate", metavar="RATE", help="at most so much a second, all together, e.g. 80MB/s")
    to.add_argument("-x", "--connections", metavar="N", help="at most so many connections to one hub (default 32)")
    to.add_argument("-j", "--jobs", metavar="N", help="at most so many files at once")
    to.add_argument("--max-workers", dest="jobs", help=argparse.SUPPRESS)  # hf's and modelscope's word for it


def add_output(to: argparse._ActionsContainer) -> None:
    """What is shown of a run."""
    add_progress(to)
    to.add_argument("-q", "--quiet", action="store_true", help="only errors, and the ready folders on stdout")
    to.add_argument("-v", "--verbose", action="store_true", help="every retry and decision")


def add_progress(to: argparse._ActionsContainer) -> None:
    to.add_argument("--progress", choices=PROGRESS, default="auto", help="how to show progress")


def add_stream(to: argparse._ActionsContainer) -> None:
    """What a run tells programs, beside `add_progress`."""
    to.add_argument("--json", dest="progress", action="store_const", const="json", help="as --progress json")
    to.add_argument(
        "--summary-file", metavar="FILE", help="write the last JSON line to FILE too, in at most 4096 bytes"
    )


class Glimpse(NamedTuple):
    """What can be seen of a command line before it is understood."""

    json: bool
    summary_file: Path | None


class _Eyes(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def glimpse(arguments: Sequence[str]) -> Glimpse:
    """How a run is to tell, even of a command line that is wrong elsewhere."""
    eyes = _Eyes(add_help=False)
    add_progress(eyes)
    add_stream(eyes)
    try:
        seen, _ = eyes.parse_known_args(list(arguments))
        return Glimpse(seen.progress == "json", expanded(seen.summary_file) if seen.summary_file else None)
    except UsageError:  # wrong in just these flags
        return Glimpse("--json" in arguments, None)


def options_of(given: argparse.Namespace) -> Options:
    """What the shared flags of a command say; a flag that the command does not have is not given.

    Raises `UsageError` that names the flag.
    """
    said = vars(given)
    directory, prefer, bundle = said.get("dir"), said.get("prefer_source"), said.get("ca_bundle")
    return Options.from_environment(
        directory=expanded(directory) if directory else None,
        models=(*(name for text in said.get("model", ()) for name in text.split(",")), *_for_gpu(given)),
        all_models=said.get("all"),
        skip_main=said.get("skip_main"),
        include=tuple(said.get("include", ())),
        exclude=tuple(said.get("exclude", ())),
        revision=said.get("revision"),
        force=said.get("force"),
        dry_run=said.get("dry_run"),
        adopt=_adopted(said.get("adopt")),
        prefer=parse_source(prefer) if prefer else None,
        token=_token(said.get("token"), said.get("token_file")),
        ca_bundle=expanded(bundle) if bundle else None,
        connections=_told("--connections", said.get("connections"), parse_count),
        jobs=_told("--jobs", said.get("jobs"), parse_count),
        limit_rate=_told("--limit-rate", said.get("limit_rate"), parse_size),
    )


def _for_gpu(given: argparse.Namespace) -> tuple[str, ...]:
    """The models that ``--for-gpu`` stands for; the rule that chose them is told on stderr."""
    said = vars(given)
    if not said.get("for_gpu"):
        return ()
    if said.get("all"):
        raise UsageError("--all and --for-gpu exclude each other", hint="--all has the models for every GPU")
    from acestep_fetch.cli.recommend import explanation
    from acestep_fetch.engine.gpu import recommend

    found = recommend(said["for_gpu"])
    if not said.get("quiet"):
        print(f"for this GPU ({found.detection.how}): {', '.join(found.models)}", file=sys.stderr)
        for line in explanation(found):
            print(f"  {line}", file=sys.stderr)
    return found.models


def folders_of(texts: Iterable[str]) -> tuple[Path, ...]:
    """Folders that must be there. Raises `UsageError` that names the one that is not."""
    folders = tuple(expanded(text) for text in texts)
    for folder in folders:
        try:
            is_there = folder.is_dir()
        except OSError as exc:
            from acestep_fetch.storage import platform

            raise platform.explain(exc, folder) from exc
        if not is_there:
            raise UsageError(
                f"{folder}: no such folder", hint="name a folder of this machine in which files may be found"
            )
    return folders


def _adopted(texts: Sequence[str] | None) -> tuple[Path, ...] | None:
    """The folders of ``--adopt``; "" stands for the usual ones."""
    if not texts:
        return None
    named = folders_of(text for text in texts if text)
    if "" not in texts:
        return named
    from acestep_fetch.storage.finding import usual_places

    return (*named, *usual_places(os.environ))


def _told(flag: str, text: str | None, parse: Callable[[str], int]) -> int | None:
    """What a flag says, None where it is not given. Raises `UsageError` that names the flag."""
    try:
        return None if text is None else parse(text)
    except UsageError as error:
        raise UsageError(f"{flag}: {error.message}", hint=error.hint) from None


def _token(token: Secret | None, file: str | None) -> Secret | None:
    if token and file:
        raise UsageError("--token and --token-file exclude each other", hint="give the file: it stays out of `ps`")
    if not file:
        return token or None
    try:
        token = Secret(expanded(file).read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as exc:
        named = "(a token, not a file)" if file.startswith("hf_") else file
        said = getattr(exc, "strerror", None) or "not a text"
        raise UsageError(f"--token-file {named}: {said}", hint=_TOKEN_FILE) from exc
    if not token:
        raise UsageError(f"--token-file {file}: the file is empty", hint=_TOKEN_FILE)
    return token
