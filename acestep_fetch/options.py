"""Every knob of a run, frozen, with its default and its validation. Sizes are bytes, times are seconds.

What each is called elsewhere is in `configuration.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acestep_fetch.configuration import layers
from acestep_fetch.configuration.files import everything, fields_of
from acestep_fetch.configuration.settings import SETTINGS, Scope
from acestep_fetch.configuration.values import (
    above_zero,
    count,
    expanded,
    parse_count,
    parse_size,
    parse_source,
    zero_or_more,
)
from acestep_fetch.core.model import HubName
from acestep_fetch.core.secrecy import Secret, remember

__all__ = ["GOOGLE_CHECK", "Options", "expanded", "parse_count", "parse_size", "parse_source"]

_BYTES: Final = "write bytes, as 80_000_000"
GOOGLE_CHECK: Final = "https://www.google.com/generate_204"


@dataclass(frozen=True, slots=True)
class Options:
    """What one run is told. Built by `from_environment` or `from_configuration`, or directly where nothing should leak
    in."""

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
    lock: Path | None = None  # nothing but what this lock says
    offline: bool = False  # no socket is opened: what is not ready is an error

    prefer: HubName | None = None
    only: HubName | None = None  # the other is not asked for anything
    token: str | None = field(default=None, repr=False)  # Hugging Face
    modelscope_token: str | None = field(default=None, repr=False)
    huggingface_endpoint: str | None = field(default=None, repr=False)  # None: the SDK's, which reads HF_ENDPOINT
    modelscope_endpoint: str | None = field(default=None, repr=False)  # addresses may hold a password
    ca_bundle: Path | None = None  # None: SSL_CERT_FILE and the like, else the system's certificates
    proxy: str | None = field(default=None, repr=False)  # None: the environment's, else the system's
    no_proxy: str | None = None  # None: the environment's
    probe_url: str = field(default=GOOGLE_CHECK, repr=False)
    probe_deadline: float = 3.0

    connections: int = 32  # at most, to one hub
    jobs: int | None = None  # files under way at once, at most; None: as many as go well
    limit_rate: int | None = None  # bytes a second, all connections together
    connect_timeout: float = 10.0
    stall_timeout: float = 3.0  # silence on one connection, while others move, before it is replaced
    give_up_after: float = 120.0  # no byte from anywhere for this long ends the run
    lease_wait: float = 3600.0  # how long to wait for another process that writes here
    min_free: int = 0  # bytes that are to be left free on the disk

    def __post_init__(self) -> None:
        for name in ("token", "modelscope_token"):
            if token := getattr(self, name):
                object.__setattr__(self, name, remember(token))
        if self.proxy:
            object.__setattr__(self, "proxy", Secret(self.proxy))
        for name in ("probe_deadline", "connect_timeout", "stall_timeout", "give_up_after"):
            above_zero(getattr(self, name), name)
        zero_or_more(self.lease_wait, "lease_wait")
        zero_or_more(self.min_free, "min_free", _BYTES)
        count(self.connections, "connections")
        if self.jobs is not None:
            count(self.jobs, "jobs")
        if self.limit_rate is not None:
            above_zero(self.limit_rate, "limit_rate", _BYTES)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **given: object) -> Options:
        """The defaults, overruled by the environment, overruled by what is `given` (None = not given).

        No file is read, and no variable says what to fetch. Raises `UsageError` that names the variable.
        """
        return cls._from(layers.variables(os.environ if environ is None else environ), given)

    @classmethod
    def from_configuration(
        cls, environ: Mapping[str, str] | None = None, here: Path | None = None, **given: object
    ) -> Options:
        """As `from_environment`, with the configuration files below the environment: those of the working folder (or of
        `here`), the user's and the machine's. Raises `UsageError` that names the file."""
        return cls._from(everything(os.environ if environ is None else environ, here), given)

    @classmethod
    def _from(cls, among: list[layers.Layer], given: Mapping[str, object]) -> Options:
        told = {name: value for name, value in given.items() if value is not None}
        groups = {setting.group for setting in SETTINGS if setting.group and setting.field in told}
        asked = [s for s in SETTINGS if s.scope is Scope.RUN and s.field not in told and s.group not in groups]
        values = fields_of(layers.resolve(asked, among)) | told
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ and the parsers keep the types
