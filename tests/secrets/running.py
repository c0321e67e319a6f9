"""Runs the program as people run it, with secrets, and keeps everything that left it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import acestep_fetch
from acestep_fetch.core.model import HubName
from tests.secrets.actions import Hand
from tests.secrets.marks import HF, JAR, MS, Mark
from tests.secrets.rows import FILES, LARGE, REPO, Row
from tests.support.faults import Rule
from tests.support.hub import ThreadedHub
from tests.support.recorder import Entry
from tests.support.trees import make_repo

AT_ONCE: Final = 3
MOST_SECONDS: Final = 60.0
HOOKS: Final = Path(__file__).parent / "hooks"
CODE: Final = Path(acestep_fetch.__file__).parents[1]
SIGNALS: Final = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


@dataclass
class Evidence:
    """All that left: `texts` by where it was found, `asked` by server."""

    codes: list[int] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, list[Entry]] = field(default_factory=dict)
    hosts: dict[str, frozenset[str]] = field(default_factory=dict)  # server -> what it is called in requests
    trouble: BaseException | None = None

    @property
    def said(self) -> str:
        """What people and programs could read."""
        return b"\n".join(self.texts[name] for name in sorted(self.texts) if name.startswith("out")).decode()

    @property
    def signatures(self) -> tuple[Mark, ...]:
        """What the hubs really signed."""
        found = set[str]()
        for entry in (entry for entries in self.asked.values() for entry in entries):
            query = parse_qs(urlsplit(entry.url).query)
            found |= {value for name in ("Signature", "auth_key") for value in query.get(name, ())}
        return tuple(Mark("signature of a link", text, text) for text in found if len(text) >= 16)


def run_all(rows: Sequence[Row], folder: Path) -> dict[str, Evidence]:
    """The evidence of each row, by its name."""
    make_repo(folder / "hub", REPO, FILES)

    def one(numbered: tuple[int, Row]) -> Evidence:
        number, row = numbered
        evidence = Evidence()
        try:
            _run(row, folder / "hub", folder / str(number), evidence)
        except Exception as exc:
            evidence.trouble = exc
        return evidence

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(one, enumerate(rows))
        return {row.name: evidence for row, evidence in zip(rows, done, strict=True)}


@dataclass
class Lab:
    """The servers of one row, and what the row's placeholders mean."""

    row: Row
    folder: Path
    servers: dict[str, ThreadedHub]

    def filled(self, text: str) -> str:
        for name, server in self.servers.items():
            text = text.replace(f"<{name}>", server.url).replace(f"<{name}:>", f"127.0.0.1:{server.hub.port}")
            text = text.replace(f"<{name}@>", f"http://localhost:{server.hub.port}")
        return text.replace("<folder>", str(self.folder))

    def environment(self) -> dict[str, str]:
        own = {
            "HF_ENDPOINT": "<hf>",
            "MODELSCOPE_ENDPOINT": "<ms>",
            "ACESTEP_FETCH_PROBE_URL": "<cdn>/api/models/made/Repo",
            "ACESTEP_FETCH_GIVE_UP_AFTER": "1.5",
            "ACESTEP_FETCH_STALL_TIMEOUT": "0.5",
            "ACESTEP_FETCH_PREFER_SOURCE": "huggingface",
            "HF_TOKEN": HF.text,
            "MODELSCOPE_API_TOKEN": MS.text,
            "HOME": "<folder>/home",
            "HF_HOME": "<folder>/home/hf",
            "TMPDIR": "<folder>/tmp",
            "SSL_CERT_FILE": "<folder>/certificate",
            "SECRETS_DUMP": "<folder>/dump",
            "PYTHONPATH": f"{HOOKS}{os.pathsep}{CODE}",
            "COLUMNS": "400",
            **self.row.env,
        }
        if "SSL_CERT_FILE" in own and not self.row.tls:
            del own["SSL_CERT_FILE"]
        return {**os.environ, **{name: self.filled(text) for name, text in own.items() if text is not None}}

    def requests(self) -> int:
        return sum(len(server.recorder.entries) for server in self.servers.values())

    def sent(self) -> int:
        return sum(server.recorder.bytes_sent for server in self.servers.values())


def _run(row: Row, root: Path, folder: Path, evidence: Evidence) -> None:
    for name in ("home/hf", "tmp", "out"):
        (folder / name).mkdir(parents=True)
    _put_secrets(row, folder)
    with ExitStack() as stack:
        servers = dict[str, ThreadedHub]()
        lab = Lab(row, folder, servers)
        for name, hub in (("cdn", None), ("proxy", None), ("hf", HubName.HUGGINGFACE), ("ms", HubName.MODELSCOPE)):
            context = row.tls(folder / "certificate") if row.tls and name == "hf" else None
            made = ThreadedHub(root, hub=hub, throttle=row.throttle, ssl_context=context)
            servers[name] = stack.enter_context(made)
        for name, rules in row.rules.items():
            servers[name].faults.rules[:0] = [_placed(rule, lab) for rule in rules]
        for name in row.dead:
            servers[name].kill()
        for number, command in enumerate([("--dir", "<folder>/out", *row.flags), *row.then]):
            if number:
                _damage(folder / "out" / "Repo" / LARGE)
            _one_process(lab, number, command, evidence)
        evidence.asked = {name: list(server.recorder.entries) for name, server in servers.items()}
        evidence.hosts = {
            name: frozenset(f"{host}:{server.hub.port}" for host in ("127.0.0.1", "localhost"))
            for name, server in servers.items()
        }
    evidence.texts |= dict(_files(folder))


def _placed(rule: Rule, lab: Lab) -> Rule:
    action = rule.action
    return replace(
        rule, action=replace(action, target=lab.filled(action.target)) if isinstance(action, Hand) else action
    )


def _put_secrets(row: Row, folder: Path) -> None:
    for name, text in row.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if row.jar:
        from modelscope_hub.config import HubConfig

        HubConfig(config_dir=folder / "home" / ".modelscope", endpoint="http://127.0.0.1", token="").save_token(
            JAR.text
        )


def _damage(path: Path) -> None:
    if path.exists():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def _one_process(lab: Lab, number: int, command: Sequence[str], evidence: Evidence) -> None:
    row, folder = lab.row, lab.folder
    arguments = [sys.executable, *row.python, "-m", "acestep_fetch", *map(lab.filled, command)]
    out, err = folder / f"out{number}.stdout", folder / f"out{number}.stderr"
    master, slave = pty.openpty() if row.tty else (None, None)
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            arguments, env=lab.environment(), stdout=slave or to_out, stderr=slave or to_err, stdin=subprocess.DEVNULL
        )
    if slave is not None:
        os.close(slave)
    seen, shown, due, stopped = set[bytes](), bytearray(), time.monotonic() + MOST_SECONDS, False
    try:
        while process.poll() is None:
            if time.monotonic() > due:
                process.kill()
                raise TimeoutError(f"{command} did not end")
            if lab.requests() or not row.token_in_arguments:  # the program has had time to hide it by then
                seen.add(_command_line(process.pid))
            if row.stop and not stopped and lab.sent() > 200_000:
                stopped = True
                process.send_signal(SIGNALS[row.stop])
            if master is not None:
                shown += _drained(master)
            time.sleep(0.02)
        evidence.codes.append(process.returncode)
        if master is not None:
            shown += _drained(master)
    finally:
        if master is not None:
            os.close(master)
    evidence.texts[f"out{number}: terminal"] = bytes(shown)
    evidence.texts[f"ps{number}"] = b"\n".join(seen)


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _drained(master: int) -> bytes:
    found = bytearray()
    while select.select([master], [], [], 0)[0]:
        try:
            found += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
    return bytes(found)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything on disk, names included; what was put there as a secret is not what left."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        yield f"name of {inside}", inside.encode()
        if path.is_file() and not inside.startswith("home/"):
            yield (
                ("out: " if inside.startswith("out") and inside.count("/") == 0 else "file: ") + inside,
                path.read_bytes(),
            )


def as_text(entry: Entry) -> bytes:
    return json.dumps([entry.url, *entry.headers.items()]).encode()
