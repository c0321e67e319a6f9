"""What earlier runs found, kept until the module or its tests change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self


@dataclass
class Findings:
    """Of one module: by a mutant's place in the list, whether it survived."""

    file: Path
    source: str  # digests
    tests: str
    survived: dict[int, bool] = field(default_factory=dict)
    seconds: float = 0.0  # of CPU

    @classmethod
    def kept(cls, file: Path, source: Path, tests: Sequence[Path], *, only_survivors: bool = False) -> Self:
        """What still holds; with `only_survivors` what was killed before stays so, whatever became of the tests."""
        found = cls(file, _digest([source]), _digest(tests))
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return found
        if before["source"] == found.source:
            same = before["tests"] == found.tests
            survived = {int(n): lives for n, lives in before["survived"].items() if same or only_survivors}
            found.survived = survived if same else {n: lives for n, lives in survived.items() if not lives}
            found.seconds = before["seconds"] if same else 0.0
        return found

    def keep(self) -> None:
        self.file.parent.mkdir(exist_ok=True)
        known = {"source": self.source, "tests": self.tests, "survived": self.survived, "seconds": self.seconds}
        self.file.write_text(json.dumps(known), encoding="utf-8")


def _digest(files: Sequence[Path]) -> str:
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
