"""A run's JSON stream, read as strictly as its promises are worded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from acestep_fetch.display.schema import PUBLISHED
from tests.end_to_end.conftest import Hubs
from tests.support.trees import IGNORED

SCHEMA: Final = json.loads(PUBLISHED.read_text("utf-8"))
LINE: Final = Draft202012Validator(SCHEMA)
SUMMARY: Final = Draft202012Validator({"$ref": "#/$defs/summary", "$defs": SCHEMA["$defs"]})
Said = list[dict[str, Any]]


@dataclass(frozen=True)
class Told:
    """How a run ended, and what it told."""

    code: int
    lines: Said
    err: str
    file: dict[str, Any]  # the summary file

    def of(self, event: str) -> Said:
        return [line for line in self.lines if line["event"] == event]

    @property
    def summary(self) -> dict[str, Any]:
        return self.lines[-1]


def run(pair: Hubs, tmp_path: Path, *arguments: str, **more: str) -> Told:
    """Runs the program to its end, and reads its stream."""
    return read(pair.start(*flags(tmp_path), *arguments, **more), tmp_path)


def flags(tmp_path: Path) -> Sequence[str]:
    return ("--dir", str(tmp_path / "out"), "--json", "--summary-file", str(tmp_path / "summary.json"))


def read(process: subprocess.Popen[str], tmp_path: Path, before: str = "") -> Told:
    """Waits for the end. `before` is what was read of stdout by then."""
    out, err = _rest(process, before) if before else process.communicate(timeout=100)
    file = (tmp_path / "summary.json").read_bytes()
    assert len(file) <= 4096
    told = Told(process.returncode, [json.loads(line) for line in out.splitlines()], err, json.loads(file))
    assert "Traceback" not in err
    assert not {"\r", "\x1b"} & set(out + err)
    _keeps_its_promises(told)
    return told


def _rest(process: subprocess.Popen[str], before: str) -> tuple[str, str]:
    """`communicate` would lose what `readline` has read ahead."""
    assert process.stdout
    assert process.stderr
    with process.stdout as stdout, process.stderr as stderr:
        out, err = before + stdout.read(), stderr.read()
    process.wait(timeout=100)
    return out, err


def _keeps_its_promises(told: Told) -> None:
    for line in told.lines:
        LINE.validate(line)
    names = [line["event"] for line in told.lines]
    assert [line["seq"] for line in told.lines] == list(range(len(names)))
    assert [line["ts"] for line in told.lines] == sorted(line["ts"] for line in told.lines)
    assert [at for at, name in enumerate(names) if name == "start"] == [0]
    assert [at for at, name in enumerate(names) if name == "summary"] == [len(names) - 1]
    assert told.summary["exit_code"] == told.code
    assert bool(told.of("error")) == (0 < told.code < 128)
    SUMMARY.validate(told.file)
    apart = {"seq", "ts", "command"}
    assert {k: v for k, v in told.file.items() if k not in apart} == {
        k: v for k, v in told.summary.items() if k not in apart
    }
    assert told.summary["bytes_fetched"] == sum(told.summary["by_source"].values())


def bytes_told(told: Told) -> int:
    """Of the files that are under their final names, as the stream tells of them."""
    up_to_date = [line for line in told.of("model_ready") if not line["fetched"] and line["model"] not in _seen(told)]
    files = [*told.of("file_done"), *told.of("file_reused"), *told.of("file_adopted")]
    return sum(line["size"] for line in (*files, *up_to_date))


def _seen(told: Told) -> set[str]:
    """The models that were looked at file by file."""
    return {model for plan in told.of("plan") for model in plan["models"]}


def bytes_on_disk(folder: Path) -> int:
    """Of everything but what downloaders keep for themselves."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if IGNORED.isdisjoint(path.relative_to(folder).parts))


def traffic_adds_up(told: Told) -> bool:
    """Whether what came and what was there is what was verified, of a run that came to all it was asked for."""
    for line in told.of("file_done"):
        assert line["size"] == sum(line["by_source"].values()) + line["held"] + line["copied"], line
    end = told.summary
    held = sum(plan["partial"] for plan in told.of("plan"))
    came = end["bytes_fetched"] - end["bytes_compared"] - end["bytes_dropped"]
    return held + came == sum(line["size"] - line["copied"] for line in told.of("file_done"))
