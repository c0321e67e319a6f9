"""What the facts about the network mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from acestep_fetch.core.choice import Answers, at_deadline, only
from acestep_fetch.core.errors import Failure
from acestep_fetch.core.model import HubName
from acestep_fetch.doctor.findings import Finding, fail, ok, warn
from acestep_fetch.doctor.network import Asked, HubFacts, NetworkFacts

# Words in the names of those who sign certificates for hosts that are not theirs: antivirus and companies' gateways.
INTERCEPTORS: Final = (
    "avast",
    "avg ",
    "barracuda",
    "bitdefender",
    "blue coat",
    "cato networks",
    "charles proxy",
    "check point",
    "cisco umbrella",
    "eset",
    "fiddler",
    "forcepoint",
    "fortinet",
    "fortigate",
    "iboss",
    "kaspersky",
    "mcafee",
    "mitmproxy",
    "netskope",
    "norton",
    "palo alto",
    "skyhigh",
    "sophos",
    "squid",
    "symantec web",
    "trend micro",
    "watchguard",
    "zscaler",
)
_BELIEVE: Final = "ask your IT for its certificate, and name the file with --ca-bundle FILE or SSL_CERT_FILE"
_NO_HUB: Final = "check the connection, or name a proxy with HTTPS_PROXY; mirrors go into HF_ENDPOINT"


def of_network(facts: NetworkFacts, prefer: HubName | None, deadline: float) -> Iterator[Finding]:
    """A line for each hub that is asked, one for Google, one for the choice. `deadline` is the probe's: later is too
    late for it.

    One hub is enough for a run, so only where neither is usable is anything a failure.
    """
    alone = not any(_is_usable(hub.asked) for hub in facts.hubs)
    for hub in facts.hubs:
        yield of_hub(hub, alone=alone)
        if hub.steps.issuer:
            yield of_issuer(hub)
    if facts.google:
        yield _of_google(facts.google, deadline)
        yield _of_choice(facts.google, facts.hubs, prefer, deadline, alone=alone)
    else:
        yield _of_only(facts.hubs[0], alone=alone)


def of_hub(hub: HubFacts, *, alone: bool) -> Finding:
    """Whether the hub can be used, and how long each step of the way takes. `alone`: there is no other one."""
    what, bad = hub.name.title, fail if alone else warn
    way = _way(hub)
    error = hub.asked.error
    if error:
        return bad(what, f"{error.message}{way}", error.hint or _next_step(hub, alone=alone))
    status = hub.asked.status or 0
    if status >= 500:
        return bad(what, f"{hub.endpoint} answers with HTTP {status}{way}", "its own trouble: try again later")
    return ok(what, f"{hub.endpoint} answers in {_ms(hub.asked.seconds)} with HTTP {status}{way}")


def of_issuer(hub: HubFacts) -> Finding:
    """Whose certificate is shown in the hub's name, and whether a run believes it."""
    what, issuer = f"{hub.name.title} TLS", hub.steps.issuer
    between = any(name in f"{issuer.lower()} " for name in INTERCEPTORS)
    refused = hub.asked.error and hub.asked.error.failure is Failure.UNTRUSTED
    if refused and between:
        return fail(what, f"{issuer} opens the connections on their way, and its certificate is not believed", _BELIEVE)
    if refused:
        todo = (hub.asked.error and hub.asked.error.hint) or _BELIEVE
        return fail(what, f"the certificate is signed by {issuer}, and not believed", todo)
    if between:
        return warn(what, f"{issuer} opens the connections on their way", "large files may be slow or cut by it")
    return ok(what, f"signed by {issuer}")


def _way(hub: HubFacts) -> str:
    steps = hub.steps
    times = {"name": steps.lookup, "connection": steps.connect, "TLS": steps.secure, "first byte": steps.answer}
    told = [f"{step} {_ms(seconds)}" for step, seconds in times.items() if seconds is not None]
    by = [f"by the proxy {steps.proxy}"] if steps.proxy else [", ".join(steps.addresses[:2])] if steps.addresses else []
    return f" ({', '.join([*by, *told])})" if by or told else ""


def _next_step(hub: HubFacts, *, alone: bool) -> str:
    if hub.steps.lookup is None and not hub.steps.proxy:
        return "the name is not found: check the address, the DNS settings, or name a proxy with HTTPS_PROXY"
    return _NO_HUB if alone else "the other hub is used meanwhile"


def _of_google(google: Asked, deadline: float) -> Finding:
    if google.error:
        return ok("Google", f"not reachable ({google.error.message}), so ModelScope is taken for the nearer hub")
    if not _in_time(google, 400, deadline):
        late = f"HTTP {google.status} in {_ms(google.seconds)}"
        return ok("Google", f"{late}: not in time for the probe, so ModelScope is taken for the nearer hub")
    return ok("Google", f"reachable in {_ms(google.seconds)}, so Hugging Face is taken for the nearer hub")


def _of_only(hub: HubFacts, *, alone: bool) -> Finding:
    choice = only(hub.name)
    if alone:
        return fail("choice", f"{choice.why}, and it cannot be used: nothing can be fetched from here now", _NO_HUB)
    return ok("choice", choice.why)


def _of_choice(
    google: Asked, hubs: tuple[HubFacts, ...], prefer: HubName | None, deadline: float, *, alone: bool
) -> Finding:
    answers = Answers(_in_time(google, 400, deadline), {hub.name: _in_time(hub.asked, 500, deadline) for hub in hubs})
    choice = at_deadline(answers, prefer)
    if alone:
        return fail("choice", "neither hub can be used: nothing can be fetched from here now", _NO_HUB)
    first, second = choice.order
    return ok("choice", f"{first.title} would come first, then {second.title}: {choice.why}")


def _in_time(asked: Asked, below: int, deadline: float) -> bool:
    return asked.status is not None and asked.status < below and asked.seconds <= deadline


def _is_usable(asked: Asked) -> bool:
    return asked.status is not None and asked.status < 500


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
