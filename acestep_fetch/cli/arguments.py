"""Flags that several commands share, and what they say as `Options`. The flags are made of the table of settings."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from acestep_fetch.configuration.files import everything, fields_of
from acestep_fetch.configuration.layers import Said, flags, resolve
from acestep_fetch.configuration.settings import AUTO, BY_KEY, SETTINGS, Kind, Scope
from acestep_fetch.configuration.values import expanded
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import LOCK_NAME
from acestep_fetch.core.secrecy import Secret
from acestep_fetch.options import Options

if TYPE_CHECKING:
    from acestep_fetch.display import Display, Mode

PROGRESS: Final = ("auto", "bar", "plain", "json", "none")
COLOR: Final = ("auto", "always", "never")


@dataclass(frozen=True, slots=True)
class Showing:
    """What a command shows of a run, and how."""

    progress: Mode = "auto"
    progress_interval: float = 10.0
    color: str = "auto"
    quiet: bool = False
    verbose: bool = False
    summary_file: Path | None = None

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment for those who draw: by its variables rich knows whether colours are wanted."""
        if self.color == "auto":
            return os.environ
        rest = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
        return rest | {"NO_COLOR": "1"} if self.color == "never" else rest

    def open(self, mode: Mode) -> Display:
        """A display like that, which `mode` draws."""
        from acestep_fetch.display import open_display

        return open_display(
            mode, quiet=self.quiet, verbose=self.verbose, interval=self.progress_interval, environ=self.environ
        )


class Parser(argparse.ArgumentParser):
    """Where no flag says what is to be shown, the environment and the configuration files do (`Showing`'s fields). A
    wrong argument is an error like any other, and not the end of the process: there may be somebody to tell."""

    def error(self, message: str) -> NoReturn:
        command = self.prog if " " in self.prog else f"{self.prog} get"  # whose own help is an overview
        words = message.removeprefix("unrecognized arguments: ")
        is_word = words != message and not words.startswith("-")
        hint = f"a model is named by --model {words.split()[0]}; " if is_word and command.endswith(" get") else ""
        raise UsageError(message, hint=f"{hint}{command} --help has all flags")

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse says nothing of a help that could not be written."""
        if message:
            (file or sys.stderr).write(message)

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        given = super().parse_args(args)
        showing = [setting for setting in fields(Showing) if setting.name in given]
        if not showing:
            return given  # a broken file is no concern of `version`, which a report about it needs
        told = {BY_KEY[key].dest: said.value for key, said in _told(given, Scope.SCREEN).items()}
        for setting in showing:
            setattr(given, setting.name, told.get(setting.name, setting.default))
        return given


def command_parser(name: str, description: str, examples: str) -> Parser:
    """The parser of ``acestep-fetch NAME``; `examples` are command lines, one below the other."""
    return Parser(prog=f"acestep-fetch {name}", **explained(description, examples))


def explained(description: str, examples: str) -> dict[str, Any]:
    """What a parser is told for its help. A command within a command is explained as one is."""
    return {
        "description": fill(" ".join(description.split()), 80),
        "epilog": f"examples:\n{examples}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_setting(to: argparse._ActionsContainer, key: str, **more: Any) -> None:
    """The flag of a setting; `more` goes to argparse. What is not given is None, so that others may say it."""
    setting = BY_KEY[key]
    how: dict[str, Any] = {"dest": setting.dest, "default": None}
    match setting.kind:
        case Kind.SWITCH:
            to.add_argument(f"--no-{key}", **how, action="store_const", const=False, help=argparse.SUPPRESS)
            how |= {"action": "store_const", "const": True}
        case Kind.MANY:
            how |= {"action": "append"}
        case Kind.ONE if setting.is_secret:
            how |= {"type": Secret}
    if setting.metavar and "choices" not in more:
        how["metavar"] = setting.metavar
    to.add_argument(*setting.flags, f"--{key}", **(how | {"help": setting.help.replace("%", "%%")} | more))
    as_it_is = {"action": how["action"], "const": how["const"]} if setting.kind is Kind.SWITCH else {}
    for alias in setting.aliases:
        to.add_argument(alias, dest=setting.dest, default=None, help=argparse.SUPPRESS, **as_it_is)


def add_folder(to: argparse._ActionsContainer) -> None:
    add_setting(to, "dir")


def add_json(to: argparse._ActionsContainer) -> None:
    """Of commands that look (`cli.results`)."""
    to.add_argument("--json", action="store_true", help="a JSON document on stdout, for programs")


def add_models(to: argparse._ActionsContainer) -> None:
    """Which models, and of which revision."""
    add_setting(to, "model")
    add_setting(to, "all")
    add_gpu(to)
    for key in ("skip-main", "revision"):
        add_setting(to, key)


def add_selection(to: argparse._ActionsContainer) -> None:
    """Which models, and which of their files."""
    add_models(to)
    for key in ("include", "exclude"):
        add_setting(to, key)


def add_lock(to: argparse._ActionsContainer) -> None:
    """Nothing but recorded bytes, or no byte at all."""
    for key in ("locked", "lock", "offline"):
        add_setting(to, key)


def add_offline(to: argparse._ActionsContainer) -> None:
    add_setting(to, "offline")


def add_offline_anyhow(to: argparse._ActionsContainer) -> None:
    """Of commands that never open a socket: who says so in a script means well."""
    add_setting(to, "offline", help=argparse.SUPPRESS)


def add_gpu(to: argparse._ActionsContainer) -> None:
    add_setting(to, "for-gpu", nargs="?", const=AUTO)


def add_sources(to: argparse._ActionsContainer) -> None:
    """Where from, and with whose leave."""
    for key in ("prefer-source", "only-source", "hf-endpoint", "ms-endpoint", "token", "token-file"):
        add_setting(to, key)
    for key in ("ca-bundle", "proxy", "no-proxy"):
        add_setting(to, key)


def add_adoption(to: argparse._ActionsContainer) -> None:
    """What other folders of this machine may have."""
    add_setting(to, "adopt", nargs="?", const=AUTO)


def add_transfer(to: argparse._ActionsContainer) -> None:
    """How fast and how long, at most."""
    for key in ("limit-rate", "connections", "jobs", "timeout", "connect-timeout", "stall-timeout", "wait"):
        add_setting(to, key)
    to.add_argument("--no-wait", dest="wait", action="store_const", const="0", default=None, help=argparse.SUPPRESS)
    add_setting(to, "min-free")


def add_output(to: argparse._ActionsContainer) -> None:
    """What is shown of a run."""
    add_progress(to)
    for key in ("progress-interval", "quiet", "verbose"):
        add_setting(to, key)
    add_setting(to, "color", choices=COLOR)


def add_progress(to: argparse._ActionsContainer) -> None:
    add_setting(to, "progress", choices=PROGRESS)


def add_stream(to: argparse._ActionsContainer) -> None:
    """What a run tells programs, beside `add_progress`."""
    to.add_argument("--json", dest="progress", action="store_const", const="json", help="as --progress json")
    add_setting(to, "summary-file")


class Glimpse(NamedTuple):
    """What can be seen of a command line before it is understood."""

    json: bool
    summary_file: Path | None


def glimpse(arguments: Sequence[str], *, has_stream: bool = True) -> Glimpse:
    """How a run is to tell, even of a command line that is wrong elsewhere. `has_stream` is False of a command that has
    `add_progress` alone, and whose ``--json`` is something else."""
    eyes = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    add_progress(eyes)
    if has_stream:
        add_stream(eyes)
    try:
        seen, _ = eyes.parse_known_args(list(arguments))
        file = getattr(seen, "summary_file", None)
        return Glimpse(seen.progress == "json", expanded(file) if file else None)
    except (argparse.ArgumentError, UsageError):  # wrong in just these flags
        return Glimpse(has_stream and "--json" in arguments, None)


def options_of(given: argparse.Namespace) -> Options:
    """What the flags of a command say, and below them the environment and the configuration files.

    Raises `UsageError` that names the flag, the variable or the file.
    """
    told = _told(given, Scope.RUN, Scope.SELECTION)
    values = fields_of(told)
    if gpu := told.get("for-gpu"):
        models = told["model"].value if "model" in told else ()
        assert isinstance(models, tuple)  # as the table has it
        values["models"] = (*models, *_for_gpu(gpu, told.get("all"), quiet=_is_silent(given)))
    if adopt := told.get("adopt"):
        values["adopt"] = _adopted(adopt)
    if (locked := told.get("locked")) and locked.value and "lock" not in told:
        values["lock"] = Path(LOCK_NAME)
    return Options(**values)  # type: ignore[arg-type]  # as the table has it


def _is_silent(given: argparse.Namespace) -> bool:
    """Whether stderr is for what went wrong only."""
    said = vars(given)
    return bool(said.get("quiet") or said.get("json")) or said.get("progress") == "json"


def folder_given(given: argparse.Namespace) -> Path | None:
    """The folder of ``--dir``, absolute: a command that a message tells to type needs it too. None without it."""
    from acestep_fetch.storage.layout import choose_folder

    return choose_folder(expanded(given.dir))[0] if given.dir else None


def origin_of(given: argparse.Namespace, key: str) -> str:
    """Who says it: a flag, a variable, a file and its line, or nobody."""
    said = resolve([BY_KEY[key]], [flags(vars(given), [BY_KEY[key]]), *everything(os.environ)]).get(key)
    return str(said.origin) if said else "the default"


def showing_of(given: argparse.Namespace) -> Showing:
    """What a command is to show, by those flags of `add_output` and `add_stream` that it has."""
    return Showing(
        **{setting.name: getattr(given, setting.name) for setting in fields(Showing) if setting.name in given}
    )


def _told(given: argparse.Namespace, *scopes: Scope) -> dict[str, Said]:
    said = vars(given)
    asked = [s for s in SETTINGS if s.scope in scopes and (s.scope is Scope.RUN or s.dest in said)]
    return resolve(asked, [flags(said, asked), *everything(os.environ)])


def _for_gpu(asked: Said, every: Said | None, *, quiet: bool) -> tuple[str, ...]:
    """The models that ``--for-gpu`` stands for; the rule that chose them is told on stderr."""
    if every and every.value:
        raise UsageError(
            f"{every.origin} and {asked.origin} exclude each other",
            hint="leave out one of them: --all has the models for every GPU",
        )
    from acestep_fetch.cli.explaining import explanation
    from acestep_fetch.engine.gpu import recommend

    found = recommend(asked.text)
    if not quiet:
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


def _adopted(said: Said) -> tuple[Path, ...]:
    """The folders of ``--adopt``; auto stands for the usual ones."""
    assert isinstance(said.value, tuple)  # as the table has it
    named = folders_of(str(place) for place in said.value if place != AUTO)
    if AUTO not in said.value:
        return named
    from acestep_fetch.storage.finding import usual_places

    return (*named, *usual_places(os.environ))
