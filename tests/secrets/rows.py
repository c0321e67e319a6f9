"""Runs of the program with secrets, as data: what the servers do with them, and how the run ends.

``<hf>``, ``<ms>``, ``<cdn>`` and ``<proxy>`` stand for the servers' addresses, ``<cdn@>`` for the same by another name,
``<cdn:>`` for host and port, ``<folder>`` for the row's own folder.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.corpus.lies import Raw
from tests.secrets.actions import BareRefusal, Echo, Hand, ListsItself, Private, Reflect
from tests.secrets.marks import ADDRESS, COOKIE, FILE, FLAG, HF, JAR, MS, PROXY, Mark
from tests.support.faults import Action, Cut, FlipBit, Kind, Rule, Status, Truncate

REPO: Final = "made/Repo"
LARGE: Final = "model.safetensors"
FILES: Final = {LARGE: 3 << 20, "vocab.txt": 60_000, "config.json": 300}
FLAGS: Final = ("--skip-main", "--model", REPO, "-x", "4")
VERBOSE: Final = (*FLAGS, "-v", "--progress", "plain")
JSON: Final = (*FLAGS, "--progress", "json")

Rules = Mapping[str, tuple[Rule, ...]]


@dataclass(frozen=True)
class Row:
    """`exit` is the code of the first command, 0 that of those in `then`. `sends` are the marks that must have reached
    the hub they are for: a run that sends no secret proves nothing."""

    name: str
    exit: int = 0
    rules: Rules = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    flags: tuple[str, ...] = VERBOSE
    files: Mapping[str, str] = field(default_factory=dict)
    python: tuple[str, ...] = ()
    then: tuple[tuple[str, ...], ...] = ()
    then_exits: tuple[int, ...] = ()
    dead: tuple[str, ...] = ()
    sends: tuple[Mark, ...] = (HF, MS)
    says: str = ""  # on stderr or stdout
    stop: str = ""
    throttle: float | None = None
    tty: bool = False
    jar: bool = False
    token_in_arguments: bool = False
    unasked: str = ""  # a server that nobody may be led to
    signer: str = "cdn"  # whom signed queries of the row lead to
    tls: Callable[[Path], ssl.SSLContext] | None = None


def _both(*actions: tuple[Action, Kind]) -> Rules:
    return {name: tuple(Rule(action, kind=kind) for action, kind in actions) for name in ("hf", "ms")}


def _hf(action: Action, kind: Kind | None = Kind.RESOLVER, **more: object) -> Rules:
    return {"hf": (Rule(action, kind=kind, **more),)}  # type: ignore[arg-type]


LOG: Final = {"SECRETS_LOG": "<folder>/log"}
DEV: Final = ("-X", "dev", "-X", "faulthandler", "-W", "always")
ELSEWHERE: Final = "<cdn@>/made/Repo/resolve/main/{file}?{signed}"
OTHER_PORT: Final = "<cdn>/made/Repo/resolve/main/{file}?{signed}"


# -- runs that end well -----------------------------------------------------------------------------------------------

GOOD: Final = (
    Row("links signed by the hubs", env=LOG),
    Row("links signed by the hubs, json", flags=(*JSON, "-v")),
    Row("links signed by the hubs, terminal", flags=(*FLAGS, "-v"), tty=True),
    Row("links signed by the hubs, debugging", python=DEV, env={"PYTHONASYNCIODEBUG": "1", **LOG}),
    Row("redirects to another host", rules=_both((Hand(ELSEWHERE), Kind.RESOLVER)), env=LOG),
    Row("redirects to another port of the same host, json", rules=_both((Hand(OTHER_PORT), Kind.RESOLVER)), flags=JSON),
    Row(
        "redirects to another host and back",
        rules={
            **_both((Hand(ELSEWHERE), Kind.RESOLVER)),
            "cdn": (Rule(Hand("<hf>{path}?back=1"), kind=Kind.RESOLVER),),
        },
    ),
    Row("the list is at another host", rules=_hf(Hand("<cdn@>{path}?blobs=true&{signed}"), Kind.API), env=LOG),
    Row("replies that repeat the credentials", rules=_both((Reflect(), Kind.API), (Reflect(), Kind.RESOLVER)), env=LOG),
    Row("a file that is called like the token", exit=6, rules=_both((ListsItself(), Kind.API)), flags=JSON),
    Row("bodies cut short", rules=_both((Truncate(500_000, Cut.RESET), Kind.CONTENT)), flags=JSON),
    Row("a bit flipped once", rules={"hf": (Rule(FlipBit(at=1 << 20), kind=Kind.CONTENT, first=1),)}),
    Row(
        "verified and repaired",
        then=(("verify", "--dir", "<folder>/out"), ("repair", "-v", "--dir", "<folder>/out")),
        then_exits=(11, 0),
    ),
    Row("stopped by Ctrl-C", exit=130, stop="SIGINT", throttle=300_000.0),
    Row("stopped by SIGTERM, json", exit=143, stop="SIGTERM", throttle=300_000.0, flags=JSON),
    Row("stopped in a terminal", exit=130, stop="SIGINT", throttle=300_000.0, flags=(*FLAGS, "-v"), tty=True),
)

# -- where secrets come from ------------------------------------------------------------------------------------------

SOURCES: Final = (
    Row("a token file of HF_HOME", env={"HF_TOKEN": None}, files={"home/hf/token": FILE.text}, sends=(FILE, MS)),
    Row("the older variable", env={"HF_TOKEN": None, "HUGGING_FACE_HUB_TOKEN": HF.text}),
    Row(
        "--token-file",
        flags=(*VERBOSE, "--token-file", "<folder>/home/t"),
        files={"home/t": f"{FILE.text}\n"},
        sends=(FILE, MS),
    ),
    Row("--token", flags=(*VERBOSE, "--token", FLAG.text), sends=(FLAG, MS), token_in_arguments=True),
    Row(
        "--token=, after which nothing works",
        exit=5,
        flags=(*VERBOSE, f"--token={FLAG.text}"),
        sends=(FLAG, MS),
        token_in_arguments=True,
        rules=_both((Status(503), Kind.CONTENT), (Status(503), Kind.RESOLVER)),
    ),
    Row(
        "-t, and a mistake behind it",
        exit=2,
        flags=(*VERBOSE, "-t", FLAG.text, "--nonsense", FLAG.text),
        sends=(),
        token_in_arguments=True,
    ),
    Row(
        "a token as a file's name", exit=2, flags=(*VERBOSE, "--token-file", HF.text), sends=(), token_in_arguments=True
    ),
    Row("a login that modelscope saved", env={"MODELSCOPE_API_TOKEN": None}, jar=True, sends=(HF, JAR)),
    Row("a password in HF_ENDPOINT", exit=2, env={"HF_ENDPOINT": f"http://me:{ADDRESS.text}@<hf:>"}, sends=()),
    Row(
        "a password in MODELSCOPE_ENDPOINT, json",
        exit=2,
        sends=(),
        flags=JSON,
        env={"MODELSCOPE_ENDPOINT": f"http://me:{ADDRESS.text}@<ms:>"},
    ),
    Row("a query in HF_ENDPOINT", exit=2, env={"HF_ENDPOINT": f"<hf>?key={ADDRESS.text}"}, sends=()),
    Row(
        "a password and a query in the probe's address",
        sends=(HF, MS),
        flags=(*JSON, "--prefer-source", "auto"),
        env={"ACESTEP_FETCH_PROBE_URL": f"http://me:{ADDRESS.text}@127.0.0.1:9/x?key={ADDRESS.text}"},
    ),
)

# -- refusals ---------------------------------------------------------------------------------------------------------

STEPS: Final = {"list": Kind.API, "resolver": Kind.RESOLVER, "content": Kind.CONTENT}
ENDS: Final = {  # exit codes by status
    "list": {400: 5, 401: 4, 403: 4, 404: 3, 429: 5, 500: 5},
    "resolver": {401: 4, 403: 4, 404: 3, 429: 5},
    "content": {400: 6, 403: 5, 404: 3, 500: 5},
}


def _refusals() -> Iterator[Row]:
    for number, (step, codes) in enumerate(ENDS.items()):
        for more, (status, code) in enumerate(codes.items()):
            rules = _both((Echo(status), STEPS[step]))
            flags = JSON if (number + more) % 2 else VERBOSE
            yield Row(f"{step} {status} that repeats the credentials", exit=code, rules=rules, flags=flags)


# -- replies that are wrong -------------------------------------------------------------------------------------------

LOCATIONS: Final = {
    "with the credentials in the query": "<cdn@>/made/Repo/resolve/main/{file}?t={said}",
    "with the credentials in the path": "<cdn>/made/Repo/resolve/main/{said}/{file}",
    "with the credentials as a password": "http://me:{said}@<cdn:>/made/Repo/resolve/main/{file}",
    "that is no address": "http://[{said}?{signed}",
    "of another scheme": "gopher://{said}/{signed}",
    "with a port that is none": "http://127.0.0.1:99999999/{said}?{signed}",
    "to a host that is none": f"http://{'x' * 70}/{{said}}?{{signed}}",
    "to nobody": "http://127.0.0.1:9/{file}?{signed}",
    "in circles": "{path}?{signed}",
}


def _wrong() -> Iterator[Row]:
    for number, (how, target) in enumerate(LOCATIONS.items()):
        flags = VERBOSE if number % 2 else JSON
        signer = "hf" if how == "in circles" else "cdn"
        yield Row(f"redirect {how}", rules=_hf(Hand(target)), flags=flags, env=LOG, signer=signer)
        if number in (0, 3, 5, 6):
            yield Row(f"list: redirect {how}", rules=_hf(Hand(target), Kind.API), flags=flags, env=LOG)
    head = f"HTTP/1.1 200 OK\r\nSet-Cookie: a={COOKIE.text}\r\nno header {COOKIE.text}\r\n".encode()
    yield Row("not HTTP, with a cookie", rules=_hf(Raw(head + b"\0\r\n\r\n")), env=LOG)
    yield Row("wrong bytes from both", exit=6, rules=_both((FlipBit(at=1 << 20), Kind.CONTENT)))


# -- tokens that are refused, and such as are needed ------------------------------------------------------------------

DROPPED: Final = "does not accept the token: going on without it"
TOKENS: Final = (
    Row("a stale token at Hugging Face", rules=_hf(Echo(401, only_with_token=True), None), says=DROPPED),
    Row("a stale token at Hugging Face, refused without a word", rules=_hf(BareRefusal(), None), says=DROPPED),
    Row(
        "a stale token at ModelScope",
        says=DROPPED,
        rules={"ms": (Rule(Echo(400, code=10010103009, only_with_token=True), kind=None),)},
    ),
    Row("a stale token at ModelScope, refused without a word", rules={"ms": (Rule(BareRefusal()),)}, says=DROPPED),
    Row(
        "stale tokens at both hubs, json",
        says=DROPPED,
        flags=JSON,
        rules={name: (Rule(BareRefusal()),) for name in ("hf", "ms")},
    ),
    Row(
        "a private repository of one hub",
        sends=(HF,),
        dead=("ms",),
        rules={"hf": (Rule(Private(), kind=Kind.API), Rule(Private(), kind=Kind.RESOLVER))},
    ),
)

# -- proxies ----------------------------------------------------------------------------------------------------------

FAR: Final = {"HF_ENDPOINT": "http://127.0.0.2:1", "MODELSCOPE_ENDPOINT": "http://127.0.0.2:2"}
PROXIED: Final = {**FAR, "HTTP_PROXY": f"http://me:{PROXY.text}@<proxy:>", "ACESTEP_FETCH_PROBE_URL": "<cdn>/x"}
PROXIES: Final = (
    Row("a proxy with a password", env={**PROXIED, **LOG}, sends=(HF, PROXY)),
    Row(
        "a proxy with a password, redirected past it",
        sends=(HF, PROXY),
        env={**PROXIED, "NO_PROXY": "localhost"},
        rules={"proxy": (Rule(Hand(ELSEWHERE), kind=Kind.RESOLVER),)},
    ),
    Row(
        "a proxy that refuses",
        exit=5,
        env=PROXIED,
        sends=(PROXY,),
        flags=JSON,
        rules={"proxy": (Rule(Echo(407), kind=None),)},
    ),
    Row("a proxy that is not there", exit=5, env=PROXIED, sends=(), dead=("proxy",), python=DEV),
    Row(
        "a proxy that cannot be used",
        exit=2,
        sends=(),
        env={**PROXIED, "HTTP_PROXY": f"ftp://me:{PROXY.text}@<proxy:>"},
    ),
    Row(
        "--proxy with a password",
        sends=(HF, PROXY),
        env={**FAR, "ACESTEP_FETCH_PROBE_URL": "<cdn>/x"},
        flags=(*VERBOSE, "--proxy", f"http://me:{PROXY.text}@<proxy:>"),
        token_in_arguments=True,
    ),
    Row(
        "--proxy that cannot be used",
        exit=2,
        sends=(),
        env=FAR,
        flags=(*VERBOSE, f"--proxy=ftp://me:{PROXY.text}@<proxy:>"),
        token_in_arguments=True,
    ),
)

# -- what nobody expects ----------------------------------------------------------------------------------------------

BREAKS: Final = (
    "acestep_fetch.transport.streams:Streams.get@2",
    "acestep_fetch.transport.api:HttpxApi._ask",
    "acestep_fetch.transport.api:_next_hop",
    "acestep_fetch.hubs.account:Account.token_for@3",
    "acestep_fetch.hubs.huggingface:HuggingFace._ask",
    "acestep_fetch.engine.sources:Source._remember",
    "acestep_fetch.engine.redirects:redirected",
    "acestep_fetch.engine.sources:Source._refusal",
    "acestep_fetch.engine.blame:Blame.failed",
)


def _unexpected() -> Iterator[Row]:
    rules = {
        "hf": (
            Rule(Hand("<cdn@>{path}?blobs=true"), kind=Kind.API, path="/revision/"),
            Rule(Hand(ELSEWHERE), kind=Kind.RESOLVER, after=1),
        ),
        "cdn": (Rule(Echo(403), kind=Kind.CONTENT, first=1),),
        "ms": (Rule(Echo(400), kind=Kind.RESOLVER, first=1),),
    }
    for number, where in enumerate(BREAKS):
        env = {"SECRETS_BREAK": where, **({"PYTHONASYNCIODEBUG": "1"} if number % 3 == 2 else {})}
        flags, python = (JSON if number % 2 else VERBOSE), (DEV if number % 3 == 2 else ())
        yield Row(f"a bug in {where}", exit=1, env=env, flags=flags, python=python, rules=rules, sends=())
    for where in (BREAKS[0], BREAKS[1]):
        noisy = {"SECRETS_NOISE": where, "PYTHONASYNCIODEBUG": "1"}
        yield Row(f"a noisy library in {where}", env=noisy, python=DEV)


# -- TLS --------------------------------------------------------------------------------------------------------------


def certificate(at: Path) -> ssl.SSLContext:
    """A server's context with a certificate that is written to `at`."""
    key = at.with_suffix(".key")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    names = ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(at)]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at, key)
    return context


TLS: Final = (
    Row("redirects from https to http", rules=_hf(Hand(OTHER_PORT)), tls=certificate, env=LOG, unasked="cdn"),
    Row(
        "the list is redirected from https to http",
        rules=_hf(Hand("<cdn>{path}?blobs=true"), Kind.API),
        unasked="cdn",
        tls=certificate,
    ),
    Row("https debugging", python=DEV, env={"PYTHONASYNCIODEBUG": "1", **LOG}, tls=certificate),
)

ROWS: Final = (*GOOD, *SOURCES, *_refusals(), *_wrong(), *TOKENS, *PROXIES, *_unexpected(), *TLS)
