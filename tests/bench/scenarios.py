"""The scenarios as data: which links, what is fetched, what happens on the way, and the bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from acestep_fetch.core.model import HubName

HF: Final = HubName.HUGGINGFACE
MS: Final = HubName.MODELSCOPE
HOSTS: Final = MappingProxyType({HF: "hf", MS: "ms"})
PAYLOAD: Final = 0.965  # share of a link's bytes that are a file's, with 1500-byte packets

Link = Mapping[str, float | str]


@dataclass(frozen=True)
class Bar:
    """At most ``factor x ideal + slack`` seconds for this program."""

    factor: float
    slack: float

    def seconds(self, ideal: float) -> float:
        return self.factor * ideal + self.slack


@dataclass(frozen=True)
class Scenario:
    """`hf` and `ms` are settings of the emulated links; a hub in `down` refuses connections.

    `stall` is the number of seconds for which the busiest connection goes silent at half of the ideal time.
    """

    name: str
    about: str
    hf: Link
    ms: Link
    bar: Bar | None = None
    access_mbit: float = 0
    down: frozenset[HubName] = frozenset()
    better: HubName = HF  # for tools that know one hub only
    corpus: str = "main"
    stall: float = 0
    is_faulty: bool = False  # bytes may have to be fetched twice

    @property
    def up(self) -> tuple[HubName, ...]:
        return tuple(hub for hub in (HF, MS) if hub not in self.down)

    def link(self, hub: HubName) -> Link:
        return self.hf if hub is HF else self.ms

    def ideal(self, size: int, hubs: tuple[HubName, ...] | None = None) -> float:
        """Seconds for `size` bytes over the full links of `hubs` (those that are up), nothing else considered."""
        rate = sum(float(self.link(hub)["rate_mbit"]) for hub in hubs or self.up)
        return size * 8 / (min(rate, self.access_mbit or rate) * 1e6 * PAYLOAD)


_CDN_HF: Final[Link] = {"rate_mbit": 400, "delay_ms": 40, "per_flow_mbit": 50}
_CDN_MS: Final[Link] = {"rate_mbit": 200, "delay_ms": 60, "per_flow_mbit": 30}
_LOSSY: Final[Link] = {"rate_mbit": 400, "delay_ms": 60, "per_flow_mbit": 80, "loss": 0.002}
_ONLY_HF: Final = frozenset({MS})

SCENARIOS: Final = (
    Scenario("cdn", "400 + 200 Mbit/s, 50 and 30 per connection", _CDN_HF, _CDN_MS, Bar(1.10, 0.8)),
    Scenario(
        "dual",
        "400 + 200 Mbit/s, no cap per connection",
        {"rate_mbit": 400, "delay_ms": 40},
        {"rate_mbit": 200, "delay_ms": 60},
        Bar(1.06, 0.8),
    ),
    Scenario(
        "lossy",
        "400 + 400 Mbit/s, 0.2 % loss, resets on the first",
        {**_LOSSY, "rst_per_mb": 0.002},
        _LOSSY,
        is_faulty=True,
    ),
    Scenario(
        "home",
        "both hubs behind one line of 100 Mbit/s",
        {"rate_mbit": 100, "delay_ms": 30},
        {"rate_mbit": 100, "delay_ms": 90},
        Bar(1.06, 1.0),
        access_mbit=100,
    ),
    Scenario(
        "china",
        "20 Mbit/s with 1 % loss + 200 Mbit/s",
        {"rate_mbit": 20, "delay_ms": 120, "per_flow_mbit": 4, "loss": 0.01},
        {"rate_mbit": 200, "delay_ms": 20, "per_flow_mbit": 60},
        Bar(1.10, 2.0),
        better=MS,
    ),
    Scenario("one-hub", "as cdn, the second hub down", _CDN_HF, _CDN_MS, Bar(1.10, 0.8), down=_ONLY_HF),
    Scenario(
        "straggler",
        "one hub, every tenth connection at 1 Mbit/s",
        {**_CDN_HF, "slow": "0.1:1"},
        _CDN_MS,
        Bar(1.20, 1.0),
        down=_ONLY_HF,
    ),
    Scenario(
        "stall",
        "one hub, the busiest connection silent for 30 s",
        _CDN_HF,
        _CDN_MS,
        Bar(1.0, 4.0),
        down=_ONLY_HF,
        stall=30,
        is_faulty=True,
    ),
    Scenario(
        "small",
        "2,000 files of 4 KiB, 80 ms round trip",
        {"rate_mbit": 400, "delay_ms": 40},
        {"rate_mbit": 200, "delay_ms": 40},
        corpus="small",
    ),
)
