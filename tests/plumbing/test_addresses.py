"""Names that have dead addresses, and resolvers that fail: the program goes on with what is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import hdrs, web

from acestep_fetch.core.model import HubName
from tests.plumbing.island import Name, Resolver, hole, on_island, with_hosts
from tests.plumbing.programs import Program, microsocks, tinyproxy
from tests.plumbing.world import REPO
from tests.support.faults import Action, Rule
from tests.support.hub import ThreadedHub
from tests.support.relay import Relay
from tests.support.trees import make_repo, tree_digests

FILES = {"model.safetensors": 9 << 20, "second.safetensors": 3 << 20, "config.json": 900}
HF = Name(v4=("10.77.0.2",))
MS = Name(v4=("10.77.0.3",))
CDN = Name(v4=("10.77.0.4",))
MORE = 1.0  # seconds that a run may take longer for a dead address


class AtCdn(Action):
    """Large files' bytes are at ``cdn.test``."""

    def reshape(self, request: web.Request, relay: Relay) -> None:
        there = relay.headers.get(hdrs.LOCATION, "")
        if "/lfs/" in there:
            relay.headers[hdrs.LOCATION] = there.replace(str(request.url.host), "cdn.test", 1)


@dataclass
class Ran:
    code: int
    said: str
    seconds: float
    whole: bool
    looked_up: list[str]


@dataclass
class Hubs:
    """Both hubs, known by name to the island's resolver only."""

    root: Path
    hf: ThreadedHub
    ms: ThreadedHub
    folder: Path
    runs: int = 0

    def fetch(self, names: Mapping[str, Name], *arguments: str, **more: str) -> Ran:
        """One run of the program, with that resolver."""
        self.runs += 1
        target = self.folder / str(self.runs)
        with Resolver({"hf.test": HF, "ms.test": MS, "cdn.test": CDN, **names}).running() as resolver:
            began = time.monotonic()
            done = subprocess.run(
                self.command(target, "--progress", "json", *arguments),
                env=self.environment() | more,
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
            seconds = time.monotonic() - began
        whole = (target / "Repo").exists() and tree_digests(target / "Repo") == tree_digests(self.root / REPO)
        return Ran(done.returncode, done.stdout + done.stderr, seconds, whole, resolver.asked)

    def command(self, target: Path, *arguments: str) -> list[str]:
        program = [sys.executable, "-m", "acestep_fetch"]
        return [*program, "--dir", str(target), "--model", REPO, "--skip-main", *arguments]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HF_ENDPOINT": f"http://hf.test:{self.hf.hub.port}",
            "MODELSCOPE_ENDPOINT": f"http://ms.test:{self.ms.hub.port}",
            "ACESTEP_FETCH_PROBE_URL": f"http://ms.test:{self.ms.hub.port}/api/v1/models/{REPO}/revisions",
        }

    def sent(self, hub: HubName) -> int:
        return (self.hf if hub is HubName.HUGGINGFACE else self.ms).recorder.bytes_sent


@contextmanager
def hubs(folder: Path) -> Iterator[Hubs]:
    make_repo(folder / "hub", REPO, FILES)
    rules = [Rule(AtCdn(), method=None)]
    with (
        ThreadedHub(folder / "hub", hub=HubName.HUGGINGFACE, host="0.0.0.0", faults=rules) as hf,
        ThreadedHub(folder / "hub", hub=HubName.MODELSCOPE, host="0.0.0.0", faults=rules) as ms,
    ):
        yield Hubs(folder / "hub", hf, ms, folder / "out")


def _usual(pair: Hubs) -> float:
    """Seconds of a run without a fault."""
    ran = pair.fetch({})
    assert (ran.code, ran.whole) == (0, True), ran.said
    return ran.seconds


def _within(seconds: float, pair: Hubs, names: Mapping[str, Name], *arguments: str) -> None:
    """The run ends well in time: one of three does, because the machine may have other things to do."""
    for _ in range(3):
        ran = pair.fetch(names, *arguments)
        assert (ran.code, ran.whole) == (0, True), ran.said
        if ran.seconds < seconds:
            return
    pytest.fail(f"took {ran.seconds:.2f} s, which should be less than {seconds:.2f} s")


@on_island
def test_an_ipv6_that_swallows_everything(tmp_path: Path) -> None:
    names = {"hf.test": "fd77::2", "ms.test": "fd77::3", "cdn.test": "fd77::4"}
    with hubs(tmp_path) as pair, ExitStack() as holes:
        usual = _usual(pair)
        for address in names.values():
            for hub in (pair.hf, pair.ms):
                holes.enter_context(hole(address, hub.hub.port))
        known = {"hf.test": HF, "ms.test": MS, "cdn.test": CDN}
        _within(usual + MORE, pair, {name: Name(known[name].v4, (address,)) for name, address in names.items()})


@pytest.mark.parametrize("where", ["hf.test", "cdn.test"])
@on_island
def test_one_dead_address_of_four(where: str, tmp_path: Path) -> None:
    alive = {"hf.test": "10.77.0.2", "cdn.test": "10.77.0.4"}[where]
    with hubs(tmp_path) as pair, ExitStack() as holes:
        usual = _usual(pair)
        for hub in (pair.hf, pair.ms):
            holes.enter_context(hole("10.77.0.9", hub.hub.port))
        _within(usual + MORE, pair, {where: Name(("10.77.0.9", alive, "10.77.0.5", "10.77.0.6"))})


@pytest.mark.parametrize(
    ("fault", "prefer"),
    [
        pytest.param(Name(code=3), "auto", id="nxdomain"),
        pytest.param(Name(code=2), "huggingface", id="servfail"),
        pytest.param(Name(never=True), "auto", id="silent"),
        pytest.param(Name(never=True), "huggingface", id="silent, though preferred", marks=pytest.mark.long),
    ],
)
@on_island
def test_a_resolver_that_fails_for_one_hub(fault: Name, prefer: str, tmp_path: Path) -> None:
    """Who never hears of a name waits for the probe's deadline (3 s), and not for the resolver, also at the end."""
    with hubs(tmp_path) as pair:
        usual = _usual(pair)
        before = pair.sent(HubName.HUGGINGFACE)
        wait = 3.0 if fault.never else 0.0
        _within(usual + wait + MORE, pair, {"hf.test": fault}, "--prefer-source", prefer)
        assert pair.sent(HubName.HUGGINGFACE) == before


@on_island
def test_a_resolver_that_is_slow(tmp_path: Path) -> None:
    """Three names, one after the other: the hub's for its list, that of its content network, and no more."""
    slow = 0.7
    with hubs(tmp_path) as pair:
        usual = _usual(pair)
        names = {"hf.test": HF, "ms.test": MS, "cdn.test": CDN}
        _within(usual + 3 * slow + MORE, pair, {name: Name(known.v4, after=slow) for name, known in names.items()})


@pytest.mark.parametrize("start", [tinyproxy, microsocks], ids=lambda start: start.__name__)
@on_island
def test_behind_a_proxy_names_are_the_proxys_business(
    start: Callable[..., AbstractContextManager[Program]], tmp_path: Path
) -> None:
    """The hubs are in the proxy's own hosts file, and nowhere else; and nobody else is even asked for them."""
    known = {"hf.test": HF, "ms.test": MS, "cdn.test": CDN}
    with hubs(tmp_path) as pair, start(tmp_path) as proxy:
        proxy.kill()
        proxy.command = with_hosts(proxy.command, {name: at.v4[0] for name, at in known.items()}, tmp_path)
        proxy.start()
        ran = pair.fetch(dict.fromkeys(known, Name(code=3)), ALL_PROXY=proxy.url)
        assert (ran.code, ran.whole) == (0, True), ran.said
        assert not {name for name in ran.looked_up if name.endswith(".test")}


@on_island
def test_no_name_at_all(tmp_path: Path) -> None:
    with hubs(tmp_path) as pair:
        ran = pair.fetch({"hf.test": Name(code=3), "ms.test": Name(code=3)})
        assert ran.code == 5, ran.said
        assert "Name or service not known" in ran.said
        assert ran.seconds < 12


@on_island
def test_a_stop_does_not_wait_for_the_resolver(tmp_path: Path) -> None:
    silent = dict.fromkeys(("hf.test", "ms.test"), Name(never=True))
    with hubs(tmp_path) as pair, Resolver(silent).running() as resolver:
        process = subprocess.Popen(
            pair.command(tmp_path / "out"), env=pair.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(1000):
            if {"hf.test", "ms.test"} <= set(resolver.asked):
                break
            time.sleep(0.01)
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - began < 1.5  # 0.5 s on a machine that has nothing else to do
