"""Every knob, frozen, with its default, its validation and its name in the environment.

A flag wins over the environment, the environment over the default. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import HubName
from acestep_fetch.core.secrecy import remember

_COUNTS: Final = "write a number such as 8, or leave it out: what goes well is found out"
GOOGLE_CHECK: Final = "https://www.google.com/generate_204"

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)(?:/s|ps)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """Bytes (or bytes a second) from ``500K``, ``80MB/s``, ``1.5GiB``. ``K`` is 1000, ``Ki`` 1024.

    Raises `UsageError`; a lower-case ``b`` is not taken for bits.
    """
    match = _SIZE.fullmatch(text.strip())
    value = float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()] if match else 0
    if not 1 <= value < 1e18:
        raise UsageError(f"{text!r} is not a size", hint="write it as 500K, 80MB/s or 1.5GiB")
    return int(value)


def parse_source(text: str) -> HubName | None:
    """``huggingface`` | ``modelscope`` | ``auto`` (None). Raises `UsageError`."""
    folded = text.strip().lower()
    if folded in ("", "auto"):
        return None
    try:
        return HubName(folded)
    except ValueError:
        raise UsageError(f"{text!r} is not a source", hint="use huggingface, modelscope or auto") from None


@dataclass(frozen=True, slots=True)
class Options:
    """What one run is told. Built by `from_environment`, or directly where nothing should leak in."""

    directory: Path | None = None  # None: ./checkpoints
    models: tuple[str, ...] = ()  # empty: main
    all_models: bool = False
    skip_main: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    revision: str | None = None
    force: bool = False
    dry_run: bool = False
    adopt: tuple[Path, ...] = ()  # other folders of this machine that may hold what is wanted
    adopt_by: str = "auto"  # how it is taken: see `storage.taking.Way`
    adopt_only: bool = False  # nothing is fetched

    prefer: HubName | None = None
    token: str | None = field(default=None, repr=False)  # Hugging Face
    modelscope_token: str | None = field(default=None, repr=False)
    huggingface_endpoint: str | None = field(default=None, repr=False)  # None: the SDK's, which reads HF_ENDPOINT
    modelscope_endpoint: str | None = field(default=None, repr=False)  # addresses may hold a password
    ca_bundle: Path | None = None  # None: SSL_CERT_FILE and the like, else the system's certificates
    probe_url: str = field(default=GOOGLE_CHECK, repr=False)
    probe_deadline: float = 3.0

    connections: int = 32  # at most, to one hub
    jobs: int | None = None  # files under way at once, at most; None: as many as go well
    limit_rate: int | None = None  # bytes a second, all connections together
    connect_timeout: float = 10.0
    stall_timeout: float = 3.0  # silence on one connection, while others move, before it is replaced
    give_up_after: float = 120.0  # no byte from anywhere for this long ends the run
    lease_wait: float = 3600.0  # how long to wait for another process that writes here

    def __post_init__(self) -> None:
        for name in ("token", "modelscope_token"):
            if token := getattr(self, name):
                object.__setattr__(self, name, remember(token))
        for name in ("probe_deadline", "connect_timeout", "stall_timeout", "give_up_after"):
            _above_zero(getattr(self, name), name)
        _count(self.connections, "connections")
        if self.jobs is not None:
            _count(self.jobs, "jobs")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **given: object) -> Options:
        """The defaults, overruled by the environment, overruled by what is `given` (None = not given).

        Raises `UsageError` that names the variable.
        """
        env = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for name, (variables, parse) in _VARIABLES.items():
            for variable in variables:
                if text := env.get(variable, "").strip():
                    try:
                        values[name] = parse(text)
                    except (UsageError, ValueError) as exc:
                        raise UsageError(f"{variable}: {exc}", hint=getattr(exc, "hint", None)) from None
                    break
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ and the parsers keep the types


def expanded(text: str) -> Path:
    """A path with ``~`` for the home folder. Raises `UsageError`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{text}: there is no such home folder", hint="write the whole path") from None


def _above_zero(value: float, what: str) -> float:
    if not 0 < value < float("inf"):
        raise UsageError(f"{what} must be above 0", hint="write seconds, as 10 or 2.5")
    return value


def parse_count(text: str) -> int:
    """A number of connections or files, from 1 to 256. Raises `UsageError`."""
    try:
        return _count(int(text), repr(text))
    except ValueError:
        raise UsageError(f"{text!r} is not a whole number from 1 to 256", hint=_COUNTS) from None


def _count(value: int, what: str) -> int:
    if not 1 <= value <= 256:
        raise UsageError(f"{what} is not a whole number from 1 to 256", hint=_COUNTS)
    return value


def _seconds(text: str) -> float:
    return _above_zero(_number(text), "it")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number of seconds", hint="write it as 10 or 2.5") from None


_VARIABLES: Final[Mapping[str, tuple[tuple[str, ...], Callable[[str], object]]]] = {
    "directory": (("ACESTEP_CHECKPOINTS_DIR",), expanded),
    "prefer": (("ACESTEP_FETCH_PREFER_SOURCE", "ACESTEP_DOWNLOAD_SOURCE"), parse_source),
    "modelscope_token": (("MODELSCOPE_API_TOKEN",), remember),
    "huggingface_endpoint": (("HF_ENDPOINT",), str),
    "modelscope_endpoint": (("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"), str),
    "ca_bundle": (("ACESTEP_FETCH_CA_BUNDLE",), expanded),
    "probe_url": (("ACESTEP_FETCH_PROBE_URL",), str),
    "probe_deadline": (("ACESTEP_FETCH_PROBE_DEADLINE",), _seconds),
    "connections": (("ACESTEP_FETCH_CONNECTIONS",), parse_count),
    "jobs": (("ACESTEP_FETCH_JOBS",), parse_count),
    "limit_rate": (("ACESTEP_FETCH_LIMIT_RATE",), parse_size),
    "connect_timeout": (("ACESTEP_FETCH_CONNECT_TIMEOUT",), _seconds),
    "stall_timeout": (("ACESTEP_FETCH_STALL_TIMEOUT",), _seconds),
    "give_up_after": (("ACESTEP_FETCH_GIVE_UP_AFTER",), _seconds),
    "lease_wait": (("ACESTEP_FETCH_LEASE_WAIT",), _number),
}
