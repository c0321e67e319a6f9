"""What needs no link: the CPU of a verified GiB over TLS, a file of 4 GiB for memory and tail, and a rate limit."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from acestep_fetch.core.model import HubName
from tests.bench.corpora import Corpus, corpus, missing_or_wrong
from tests.bench.measure import Usage, run
from tests.bench.network import PIPES, HubProcess, hub_command
from tests.bench.scenarios import HF, MS
from tests.bench.table import grid
from tests.bench.tools import TOOLS, Job, installed

_OURS = TOOLS[0]
_RATES = (200_000, 2_000_000, 20_000_000, 200_000_000)  # bytes a second
_SECONDS = 10.0  # less where the file ends before


def tls(runs: int, where: Path) -> dict[str, Any]:
    """This program's CPU seconds for a GiB over TLS 1.3 from nginx, and those of ``curl`` with ``openssl dgst``."""
    for program, package in (("nginx", "nginx-light"), ("curl", "curl"), ("openssl", "openssl")):
        if reason := installed(program, package):
            return {"skipped": reason}
    things = corpus("gib", where / "corpora")
    [file] = things.wanted
    found = dict[str, list[dict[str, Any]]]()
    with _nginx(things, where / "nginx") as (address, certificate), _hub(things, address) as hub:
        for _ in range(runs):
            with _job(things, hub, where / "run") as job:
                environment = _OURS.environment(job) | {"SSL_CERT_FILE": str(certificate)}
                used = run(_OURS.command(job), environment, where / "log", timeout=300)
                _note(found, "acestep-fetch", used, missing_or_wrong(job.folder, things.wanted))
            with _job(things, hub, where / "run") as job:
                url, target = f"{address}/{file.sha256}", job.checkpoints / "file"
                fetch = f"curl -sSf --tlsv1.3 --cacert {certificate} -o {target} {url} && openssl dgst -sha256 {target}"
                used = run(["sh", "-c", fetch], dict(os.environ), where / "log", timeout=300)
                _note(found, "curl + openssl", used, [] if file.sha256 in used.output else [file.path])
    return {"runs": found}


def big(runs: int, where: Path) -> dict[str, Any]:
    """Peak memory, and seconds from the last byte sent to the file verified, for a file of 4 GiB."""
    things = corpus("big", where / "corpora")
    found = dict[str, list[dict[str, Any]]]()
    with _hub(things) as hub:
        for _ in range(runs):
            with _job(things, hub, where / "run") as job:
                hub.ask("clear")
                command = ["json" if word == "none" else word for word in _OURS.command(job)]
                used = run(command, _OURS.environment(job), where / "log", timeout=600)
                dump, lines = hub.ask("dump"), (where / "log").read_text().splitlines()
                tail = _seconds_to_verified(lines, dump["last_byte"] + dump["wall_offset"])
                _note(found, "acestep-fetch", used, missing_or_wrong(job.folder, things.wanted), tail)
    return {"runs": found}


def limit(runs: int, where: Path) -> dict[str, Any]:
    """What comes in each window of 1 s under ``--limit-rate``, from both hubs, for `_SECONDS` of each rate."""
    things = corpus("gib", where / "corpora")
    found = list[dict[str, Any]]()
    with _hub(things) as hf, _hub(things, name=MS) as ms:
        urls = {hub: f"http://127.0.0.1:{process.port}" for hub, process in ((HF, hf), (MS, ms))}
        for rate in _RATES:
            for _ in range(runs):
                with _job(things, hf, where / "run") as job:
                    job = replace(job, urls=urls)
                    command = [sys.executable, "-m", "tests.bench.limited", str(job.checkpoints), things.repo]
                    used = run([*command, str(rate), str(_SECONDS)], _OURS.environment(job), where / "log", timeout=120)
                    row = json.loads((where / "log").read_text().splitlines()[-1])
                    found.append({**row, "rate": rate, "cpu": used.cpu, "code": used.code})
                    print(f"bench: limit: {found[-1]}", flush=True)
    return {"runs": {"acestep-fetch": found}}


def table(name: str, played: dict[str, Any]) -> str:
    """The runs of `tls` or `big`, or of `limit`, a row each."""
    if "skipped" in played:
        return f"{name}: {played['skipped']}\n"
    if name == "limit":
        head = ("limit MB/s", "windows of 1 s", "least", "mean", "most", "1 % least", "1 % most", "hubs", "CPU s")
        return grid(head, [_window_row(each) for each in played["runs"]["acestep-fetch"]])
    head = ("tool", "wall s", "CPU s/GiB", "RSS MiB", "tail s", "exit", "right")
    gib = 4 if name == "big" else 1
    return grid(
        head,
        [
            (
                tool,
                f"{each['wall']:.2f}",
                f"{each['cpu'] / gib:.2f}",
                f"{each['rss'] / (1 << 20):.0f}",
                "" if each["tail"] is None else f"{each['tail']:.2f}",
                str(each["code"]),
                "no" if each["wrong"] else "yes",
            )
            for tool, runs in played["runs"].items()
            for each in sorted(runs, key=lambda each: float(each["cpu"]))
        ],
    )


def _window_row(each: dict[str, Any]) -> tuple[str, ...]:
    shares = [f"{each[key] * 100 - 100:+.2f} %" for key in ("least", "mean", "most", "low", "high")]
    return (f"{each['rate'] / 1e6:g}", str(each["windows"]), *shares, str(each["hubs"]), f"{each['cpu']:.2f}")


def _note(
    found: dict[str, list[dict[str, Any]]], name: str, used: Usage, wrong: list[str], tail: float | None = None
) -> None:
    row = {"wall": used.wall, "cpu": used.cpu, "rss": used.rss, "code": used.code, "wrong": wrong, "tail": tail}
    found.setdefault(name, []).append(row)
    print(
        f"bench: {name}: wall {used.wall:.2f} s, CPU {used.cpu:.2f} s, RSS {used.rss >> 20} MiB, tail {tail}",
        flush=True,
    )


def _seconds_to_verified(lines: list[str], last_byte: float) -> float | None:
    events = [json.loads(line) for line in lines if line.startswith("{")]
    times = [datetime.fromisoformat(event["ts"]).timestamp() for event in events if event["event"] == "file_done"]
    return max(times) - last_byte if times else None


@contextmanager
def _job(things: Corpus, hub: HubProcess, where: Path) -> Iterator[Job]:
    """A fresh folder, and only one hub in reach."""
    shutil.rmtree(where, ignore_errors=True)
    (where / "scratch").mkdir(parents=True)
    (where / "checkpoints").mkdir()
    yield Job(things, {HF: f"http://127.0.0.1:{hub.port}"}, HF, where / "checkpoints", where / "scratch")
    shutil.rmtree(where, ignore_errors=True)


@contextmanager
def _hub(things: Corpus, content: str | None = None, name: HubName = HF) -> Iterator[HubProcess]:
    more = ["--port", "0", *(["--content", content] if content else [])]
    process = subprocess.Popen(hub_command(things, name, *more), **PIPES)
    try:
        yield (hub := HubProcess(process))
        hub.stop()
    finally:
        process.kill()


@contextmanager
def _nginx(things: Corpus, where: Path) -> Iterator[tuple[str, Path]]:
    """nginx with a certificate of its own, serving the corpus by digest: its address and the certificate."""
    shutil.rmtree(where, ignore_errors=True)
    (where / "files").mkdir(parents=True)
    for file in things.wanted:
        os.link(things.roots[HF] / things.repo / file.path, where / "files" / file.sha256)
    certificate, key = where / "certificate.pem", where / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
    subprocess.run([*make, *name, "-out", str(certificate)], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (where / "nginx.conf").write_text(_nginx_settings(where, port))
    process = subprocess.Popen(["nginx", "-c", str(where / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        _connected(port)
        yield f"https://127.0.0.1:{port}", certificate
    finally:
        process.terminate()
        process.wait()


def _connected(port: int) -> None:
    """Returns once somebody listens."""
    probe = ["curl", "-sk", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", f"https://127.0.0.1:{port}/"]
    subprocess.run(probe, stdout=subprocess.DEVNULL, check=True)


def _nginx_settings(where: Path, port: int) -> str:
    return f"""
daemon off; user root; worker_processes 1; pid {where}/nginx.pid; error_log {where}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port} ssl; root {where}/files;
    ssl_certificate {where}/certificate.pem; ssl_certificate_key {where}/key.pem; ssl_protocols TLSv1.3;
  }}
}}
"""
