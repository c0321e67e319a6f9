"""``make screenshots``: writes ``docs/images/*.svg``, the terminal in a real run against two embedded hubs.

The hubs hold the main model at 2 % of its size, on links of 24 and 16 MB/s. What the run's events say is drawn by the
display's own code; only the machine's paths and addresses are replaced.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from acestep_fetch import Options
from acestep_fetch.api import fetch_async
from acestep_fetch.core.model import HubName
from acestep_fetch.display.glyphs import UNICODE
from acestep_fetch.display.layout import Row, block
from acestep_fetch.display.prose import Line, Narrator
from acestep_fetch.display.pump import Pump, Tick
from acestep_fetch.display.screen import Screen
from acestep_fetch.display.sink import Sink
from tests.support.hub import ThreadedHub
from tests.support.trees import make_catalogue

IMAGES = Path(__file__).parents[1] / "docs/images"
HOME = "~/ACE-Step-1.5"
SCALE = 0.02
WIDTH = 96
MAIN = "ACE-Step/Ace-Step1.5"
PICTURES = ("list", "download", "ready", "error")
NOBODY = ("http://127.0.0.1:9", "http://127.0.0.1:19")
HUBS = ("huggingface.co", "modelscope.cn")
LINKS = {HubName.HUGGINGFACE: 24e6, HubName.MODELSCOPE: 16e6}
_THEME = TerminalTheme(
    (24, 26, 31), (208, 212, 220),
    [(24, 26, 31), (224, 108, 117), (125, 190, 110), (224, 175, 90), (97, 160, 240), (198, 120, 221), (86, 182, 194),
     (208, 212, 220)],
    [(92, 99, 112), (240, 113, 120), (152, 210, 130), (240, 195, 110), (120, 180, 255), (215, 145, 235),
     (110, 200, 210), (255, 255, 255)],
)  # fmt: skip
# without the fonts that rich would load from somewhere else
_FORMAT = (
    re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    .replace("Fira Code, monospace", "Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    .replace("<svg ", '<svg xml:space="preserve" ')
)


@dataclass
class Film:
    """A painter that keeps what it is given to paint."""

    period = 0.125
    grace = 1.0
    sink: Sink = field(default_factory=lambda: Sink(None))
    ticks: list[Tick] = field(default_factory=list)

    def paint(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def close(self) -> None:
        pass


def main() -> int:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        for hub in HubName:
            make_catalogue(there / hub.value, scale=SCALE, hub=hub, models=["main"])
        _listed(there / "box")
        _filmed(there)
        _failed(there / "box")
    return 0


def _filmed(there: Path) -> None:
    """A run, in the middle and at its end."""
    with (
        ThreadedHub(there / "huggingface", hub=HubName.HUGGINGFACE, link=LINKS[HubName.HUGGINGFACE]) as hf,
        ThreadedHub(there / "modelscope", hub=HubName.MODELSCOPE, link=LINKS[HubName.MODELSCOPE]) as ms,
    ):
        ticks = _run(there / "box/checkpoints", hf.url, ms.url)
    middle = min(range(len(ticks)), key=lambda at: abs(_share(ticks[at]) - 0.62))
    _draw(
        "download", "acestep-fetch", _told(ticks[: middle + 1]), there, block(ticks[middle].view, WIDTH - 2, 7, UNICODE)
    )
    _draw("ready", "acestep-fetch", _told(ticks), there)


def _run(folder: Path, hf: str, ms: str) -> list[Tick]:
    film = Film()
    os.environ |= {"HF_ENDPOINT": hf, "MODELSCOPE_ENDPOINT": ms, "ACESTEP_FETCH_PROBE_URL": f"{hf}/api/models/{MAIN}"}
    os.environ |= {"HF_HOME": str(folder / "none"), "ACESTEP_FETCH_GIVE_UP_AFTER": "1"}
    with Pump(film) as pump:
        asyncio.run(fetch_async(Options.from_environment(directory=folder), pump))
    return film.ticks


def _told(ticks: Sequence[Tick]) -> list[Line]:
    narrator = Narrator(UNICODE, verbose=False)
    return [line for tick in ticks for heard in tick.heard for line in narrator.tell(heard.event)]


def _share(tick: Tick) -> float:
    return tick.view.done / tick.view.total if tick.view.total else 0.0


def _listed(box: Path) -> None:
    box.mkdir()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ACESTEP_")}
    code = str(Path(__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-m", "acestep_fetch", "--list"], cwd=box, env=environment | {"PYTHONPATH": code},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    _draw("list", "acestep-fetch --list", [Line("info", line) for line in ran.stdout.splitlines()], box)


def _failed(box: Path) -> None:
    """The network is away: nobody listens at these ports."""
    _draw("error", "acestep-fetch", _told(_run(box / "nothing", *NOBODY)), box)


def _draw(name: str, command: str, lines: Sequence[Line], there: Path, rows: Sequence[Row] = ()) -> None:
    width = max([WIDTH, *(len(line.text) for line in lines)]) if name == "list" else WIDTH
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "green"), (command, "bold")))
    screen = Screen(Sink(None), None, UNICODE, {})
    screen._console = console
    screen.scroll([Line(line.kind, _homely(line.text, there)) for line in lines])
    for row in rows:
        console.print(Text.assemble(*row), no_wrap=True)
    console.print()  # or the last line's underscores would be cut off
    picture = console.export_svg(title="", theme=_THEME, code_format=_FORMAT, unique_id=name)
    (IMAGES / f"{name}.svg").write_text(re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE), "utf-8")
    print(f"wrote docs/images/{name}.svg")


def _homely(text: str, there: Path) -> str:
    """Without the machine: its folders, and the addresses of its hubs."""
    for ours, theirs in ((f"{there}/box", HOME), (str(there), HOME), *zip(NOBODY, HUBS, strict=True)):
        text = text.replace(ours.removeprefix("http://"), theirs)
    return text


if __name__ == "__main__":
    sys.exit(main())
