"""Results as Markdown, and their place in a document. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tests.bench.figures import Summary
from tests.bench.scenarios import Bar

HEAD = (
    "tool",
    "wall s",
    "(range)",
    "x ideal",
    "CPU s/GiB",
    "RSS MiB",
    "served/needed",
    "requests",
    "conns",
    "exit",
    "right",
)
MIB = 1 << 20


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; numbers to the right."""
    body = list(rows)
    aligned = ["---" if i == 0 else "--:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, aligned, *body)) + "\n"


def results(tools: Mapping[str, Summary], ideal: float | None) -> str:
    """One scenario's table, fastest tool first; those that failed come last."""
    order = sorted(tools, key=lambda name: (tools[name].right < tools[name].runs, tools[name].wall))
    return grid(HEAD, [_row(name, tools[name], ideal) for name in order])


def _row(name: str, summary: Summary, ideal: float | None) -> tuple[str, ...]:
    kinds = summary.requests
    return (
        name,
        f"{summary.wall:.1f}" + ("*" if summary.noisy else ""),
        f"{summary.best:.1f} to {summary.worst:.1f}" if summary.runs > 1 else "once",
        f"{summary.wall / ideal:.2f}" if ideal else "",
        f"{summary.cpu_per_gib:.1f}",
        f"{summary.rss / MIB:.0f}",
        f"{summary.served:.3f}",
        "+".join(str(kinds.get(kind, 0)) for kind in ("api", "resolver", "content")),
        str(summary.connections),
        _codes(summary.codes),
        f"{summary.right}/{summary.runs}",
    )


def _codes(codes: Sequence[int]) -> str:
    return " ".join(str(code) for code in sorted(set(codes)))


def verdict(ours: Summary, peers: Mapping[str, Summary], ideal: float | None, bar: Bar | None) -> str:
    """What the measured program came to, against its bar and the best peer that brought everything right."""
    said = list[str]()
    if bar is not None and ideal is not None:
        limit = bar.seconds(ideal)
        said.append(f"bar {limit:.1f} s: {'met' if ours.wall <= limit else 'missed'} with {ours.wall:.1f} s")
    if best := best_peer(peers):
        said.append(f"best peer: {best}, {peers[best].wall / ours.wall:.2f} x our time")
    return "; ".join(said)


def best_peer(peers: Mapping[str, Summary]) -> str | None:
    """The fastest of those that brought everything right every time."""
    right = {name: peer.wall for name, peer in peers.items() if peer.right == peer.runs}
    return min(right, key=lambda name: right[name]) if right else None


def replaced(document: str, name: str, content: str) -> str:
    """`document` with what stands between the marks of `name` replaced. Raises `ValueError` if there are none."""
    marks = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not marks.search(document):
        raise ValueError(f"the document has no place for {name}")
    return marks.sub(lambda match: match[1] + content.strip() + "\n" + match[2], document, count=1)
