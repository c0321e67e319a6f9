"""The table of settings. The flags, the variables, the keys of files, ``config show`` and the documentation are made of
it, or held against it by a test: a setting is added here, and where its value is used.

A setting `key` is the flag ``--key``, the variable ``ACESTEP_FETCH_KEY`` and the key ``key`` of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from acestep_fetch.configuration.values import (
    checkpoints_of,
    expanded,
    parse_count,
    parse_endpoint,
    parse_name,
    parse_seconds,
    parse_size,
    parse_source,
    parse_switch,
    parse_wait,
    parse_yes_no,
)
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import LOCK_NAME
from acestep_fetch.core.secrecy import Secret, remember

PREFIX: Final = "ACESTEP_FETCH_"
AUTO: Final = "auto"

Parse = Callable[[str], object]


class Kind(Enum):
    ONE = "one value"
    SWITCH = "yes or no"
    MANY = "several values"


class Scope(Enum):
    RUN = "every command that it concerns, and the Python API"
    SELECTION = "only a command that has the flag"
    SCREEN = "only a command that has the flag; nothing of a run depends on it"


class Folder(Enum):
    """Whether the files of the working folder may say it. They may be somebody else's, who wrote them for whoever
    downloads the folder: so they cannot send a token, or anything, elsewhere, nor write to a file of their choice."""

    MAY = "yes"
    DOTENV = "only .env"  # which nobody publishes
    NO = "no"


class Variable(NamedTuple):
    """A name that others have given the setting, and how they write it."""

    name: str
    parse: Parse | None = None  # None: as the setting does


@dataclass(frozen=True, slots=True)
class Setting:
    """What can be set. `foreign` variables are ACE-Step's and the hubs'; those `outside` are read by whoever uses the
    setting, and where one of them is set, no file is asked. Of a `group` only the highest layer that says anything
    counts."""

    key: str
    help: str
    parse: Parse
    metavar: str = ""
    field: str = ""  # of `Options`; "": the command's own
    kind: Kind = Kind.ONE
    scope: Scope = Scope.RUN
    folder: Folder = Folder.MAY
    group: str = ""
    flags: tuple[str, ...] = ()  # short ones
    aliases: tuple[str, ...] = ()  # accepted silently
    has_flag: bool = True
    older: tuple[str, ...] = ()  # variables of earlier versions
    foreign: tuple[Variable, ...] = ()
    outside: tuple[str, ...] = ()
    is_secret: bool = False
    default: str = ""  # in words, where `Options` has no better one

    @property
    def dest(self) -> str:
        """Its name in argparse's namespace."""
        return self.key.replace("-", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        """Of our own."""
        return (f"{PREFIX}{self.dest.upper()}", *self.older)


def parse_mode(text: str) -> str:
    return _one_of(text, "auto", "bar", "plain", "json", "none")


def parse_color(text: str) -> str:
    return _one_of(text, "auto", "always", "never")


def _one_of(text: str, *words: str) -> str:
    folded = text.strip().lower()
    if folded not in words:
        raise UsageError(f"{text!r} is not known here", hint=f"use {', '.join(words[:-1])} or {words[-1]}")
    return folded


def _itself(text: str) -> tuple[str, ...]:
    return (text,)


def _place(text: str) -> tuple[object, ...]:
    return (AUTO if text == AUTO else expanded(text),)


def _no_color(text: str) -> str:
    return "never"


def _force_color(text: str) -> str:
    return "never" if text.lower() in ("0", "false") else "always"


_WHAT: Final = Scope.SELECTION
_SHOW: Final = Scope.SCREEN
_ONLY_OWN: Final = Folder.NO

# In the order of `get --help`.
SETTINGS: Final = (
    Setting(
        "model", "a model, or OWNER/NAME; repeatable", parse_name, "NAME", "models",
        kind=Kind.MANY, scope=_WHAT, group="models", flags=("-m",), default="main",
    ),
    Setting(
        "all", "every model of the catalogue", parse_yes_no, field="all_models",
        kind=Kind.SWITCH, scope=_WHAT, group="models", flags=("-a",),
    ),
    Setting(
        "for-gpu", "the models that suit a GPU with so much memory, or this machine's (no value, or auto)", str, "12GB",
        scope=_WHAT, group="models",
    ),
    Setting(
        "skip-main", "do not fetch the main model along with another", parse_yes_no, field="skip_main",
        kind=Kind.SWITCH, scope=_WHAT, aliases=("--no-main",),
    ),
    Setting(
        "include", "only files that match; repeatable", _itself, "GLOB", "include",
        kind=Kind.MANY, scope=_WHAT,
    ),
    Setting(
        "exclude", "no files that match; repeatable", _itself, "GLOB", "exclude",
        kind=Kind.MANY, scope=_WHAT,
    ),
    Setting(
        "adopt",
        "take what DIR has of it; repeatable. Without DIR, or auto: Hugging Face's and ModelScope's caches, ComfyUI",
        _place, "DIR", kind=Kind.MANY, scope=_WHAT,
    ),
    Setting(
        "revision", "a branch, tag or commit of the models that are named, else of main",
        str, "REV", "revision", scope=_WHAT,
    ),
    Setting(
        "force", "fetch again what is there", parse_yes_no, field="force",
        kind=Kind.SWITCH, scope=_WHAT, flags=("-f",),
    ),
    Setting(
        "dry-run", "show what would be done and end", parse_yes_no, field="dry_run",
        kind=Kind.SWITCH, scope=_WHAT, flags=("-n",),
    ),
    Setting(
        "locked", f"only what ./{LOCK_NAME} says; anything else ends with 12", parse_yes_no,
        kind=Kind.SWITCH, scope=_WHAT, group="lock",
    ),
    Setting(
        "lock", "the same with another lock; no model named: all that it has", expanded, "FILE", "lock", group="lock",
    ),
    Setting(
        "offline", "open no socket (also: HF_HUB_OFFLINE=1)", parse_yes_no, field="offline", kind=Kind.SWITCH,
        # as huggingface_hub reads them, which knows no other offline than that of everything
        foreign=(Variable("HF_HUB_OFFLINE", parse_switch), Variable("TRANSFORMERS_OFFLINE", parse_switch)),
    ),
    Setting(
        "dir", "the checkpoints folder (default ./checkpoints)", expanded, "DIR", "directory",
        flags=("-d",), aliases=("--local-dir",), default="./checkpoints",
        foreign=(Variable("ACESTEP_CHECKPOINTS_DIR"), Variable("ACESTEP_PROJECT_ROOT", checkpoints_of)),
    ),
    Setting(
        "prefer-source", "huggingface, modelscope or auto", parse_source, "SOURCE", "prefer",
        # ACE-Step's own words for it, and those of a fork's documentation
        aliases=("--download-source", "--source"), default="auto", foreign=(Variable("ACESTEP_DOWNLOAD_SOURCE"),),
    ),
    Setting("only-source", "ask this one and no other: not a packet goes to the other", parse_source, "SOURCE", "only"),
    Setting(
        "hf-endpoint", "a mirror, or your own hub, in place of Hugging Face", parse_endpoint, "URL",
        "huggingface_endpoint",
        # what a variable of others says is judged by the hub's own module, and only where it is asked
        folder=_ONLY_OWN, default="https://huggingface.co", foreign=(Variable("HF_ENDPOINT", str),),
    ),
    Setting(
        "ms-endpoint", "the same in place of ModelScope", parse_endpoint, "URL", "modelscope_endpoint",
        folder=_ONLY_OWN, default="https://modelscope.cn",
        foreign=(Variable("MODELSCOPE_ENDPOINT", str), Variable("MODELSCOPE_DOMAIN", str)),
    ),
    Setting(
        "token", "Hugging Face token; better: --token-file, it stays out of `ps`", remember, "TOKEN", "token",
        folder=Folder.DOTENV, group="token", flags=("-t",), is_secret=True,
        outside=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), default="the saved login",
    ),
    Setting(
        "token-file", "a file that holds the token", expanded, "FILE",
        folder=_ONLY_OWN, group="token",
    ),
    Setting(
        "ms-token", "ModelScope token", remember, field="modelscope_token", has_flag=False,
        folder=Folder.DOTENV, is_secret=True, foreign=(Variable("MODELSCOPE_API_TOKEN"),), default="the saved login",
    ),
    Setting(
        "ca-bundle",
        "believe the certificates in FILE (PEM) and no others; else those of ACESTEP_FETCH_CA_BUNDLE, "
        "SSL_CERT_FILE with SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, the first that is set; else the system's",
        expanded, "FILE", "ca_bundle",
        folder=_ONLY_OWN, default="the system's",
        outside=("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    ),
    Setting(
        "proxy", "ask everything through this proxy, in place of HTTPS_PROXY, HTTP_PROXY and ALL_PROXY", Secret, "URL",
        "proxy", folder=_ONLY_OWN, is_secret=True, default="the system's",
        outside=("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    ),
    Setting(
        "no-proxy", "hosts that are asked directly, with commas between them, in place of NO_PROXY; * for all", str,
        "HOSTS", "no_proxy", folder=_ONLY_OWN, outside=("no_proxy", "NO_PROXY"),
    ),
    Setting(
        "probe-url", "what stands for Google in the race that chooses the first hub", str, "URL", "probe_url",
        has_flag=False, folder=_ONLY_OWN,
    ),
    Setting(
        "probe-deadline", "how long that race may take", parse_seconds, "S", "probe_deadline", has_flag=False,
    ),
    Setting(
        "limit-rate", "at most so much a second, all together, e.g. 80MB/s", parse_size, "RATE", "limit_rate",
        default="none",
    ),
    Setting(
        "connections", "at most so many connections to one hub (default 32)", parse_count, "N", "connections",
        flags=("-x",),
    ),
    Setting(
        "jobs", "at most so many files at once", parse_count, "N", "jobs",
        flags=("-j",), aliases=("--max-workers",), default="as many as go well",
    ),
    Setting(
        "timeout", "a file that does not move for so long fails (default 120)", parse_seconds, "S", "give_up_after",
        older=("ACESTEP_FETCH_GIVE_UP_AFTER",),
    ),
    Setting(
        "connect-timeout", "how long a connection may take to come about (default 10)", parse_seconds, "S",
        "connect_timeout",
    ),
    Setting(
        "stall-timeout", "silence after which a connection is replaced while others move (default 3)", parse_seconds,
        "S", "stall_timeout",
    ),
    Setting(
        "wait", "how long to wait for another process that writes into the folder (default 1h); --no-wait: not at all",
        parse_wait, "S", "lease_wait", older=("ACESTEP_FETCH_LEASE_WAIT",),
    ),
    Setting(
        "min-free", "fetch nothing where less than this would be left free on the disk", parse_size, "SIZE", "min_free",
        default="none",
    ),
    Setting("progress", "how to show progress", parse_mode, "HOW", scope=_SHOW),
    Setting(
        "summary-file", "write the last JSON line to FILE too, in at most 4096 bytes", expanded, "FILE", scope=_SHOW,
        folder=_ONLY_OWN,
    ),
    Setting(
        "progress-interval", "the longest time between two lines of progress where there is no terminal (default 10)",
        parse_seconds, "S", scope=_SHOW,
    ),
    Setting(
        "color", "auto, always or never; NO_COLOR and FORCE_COLOR say the same", parse_color, "WHEN", scope=_SHOW,
        foreign=(Variable("NO_COLOR", _no_color), Variable("FORCE_COLOR", _force_color)),
    ),
    Setting(
        "quiet", "only errors, and the ready folders on stdout", parse_yes_no,
        kind=Kind.SWITCH, scope=_SHOW, flags=("-q",),
    ),
    Setting(
        "verbose", "every retry and decision", parse_yes_no, kind=Kind.SWITCH, scope=_SHOW, flags=("-v",),
    ),
)  # fmt: skip
BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
