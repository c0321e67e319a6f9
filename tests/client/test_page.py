"""docs/python.md: every block runs, says what it says, and is typed; every name and class is on the page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import acestep_fetch
from acestep_fetch.client.settings import Settings
from acestep_fetch.core import errors
from acestep_fetch.core.model import HubName
from tests.client.conftest import started
from tests.end_to_end.conftest import CODE, Hubs, hubs

PAGE = (Path(CODE) / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# What each block says, in the order of the page; they share a folder, in which the first has made main ready.
SAYS = (
    r"",
    r"\d+ of \d+ bytes to fetch\n(.*: \d+ bytes from (huggingface|modelscope)\n)+.*"
    r"acestep-5Hz-lm-0.6B is ready in .*/checkpoints/acestep-5Hz-lm-0.6B\n\d+ bytes in \d.* s, \{.*\}\n",
    r"",
    r"",
    r"(.* can be loaded\n){2}\{'main': 'ready', 'acestep-5Hz-lm-0.6B': 'ready'\}\n",
    r"later, then\n\d+ [1-9]\d*\n",
    r"200, a song with .*/served/.*\n",
    r"[1-9]\d* bytes to fetch, \d+ left on the disk \n(\w+ acestep-v15-base/\S+ \d+ .*\n)+"
    r"main ready 100% .*\nacestep-v15-sft ready 100% .*\nacestep-5Hz-lm-0.6B ready 100% .*\n",
    r"\d+ files\n",
    r"(.* all right\n){3}",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def slow(roots: dict[HubName, Path]) -> Iterator[Hubs]:
    """So slow that half a second is not enough."""
    with hubs(roots[HubName.HUGGINGFACE], roots[HubName.MODELSCOPE], link=1.5e6) as running:
        yield running


def test_no_block_is_left_out() -> None:
    assert len(BLOCKS) == len(SAYS)


@pytest.mark.parametrize("number", range(len(SAYS)))
def test_a_block_runs(number: int, place: Path, slow: Hubs) -> None:
    process = started(slow, BLOCKS[number], place)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert re.fullmatch(SAYS[number], out, re.DOTALL), out
    assert (place / "checkpoints" / "vae" / "config.json").exists()


def test_every_block_is_typed_and_a_wrong_use_is_not(tmp_path: Path) -> None:
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"block_{number}.py").write_text(block)
    (tmp_path / "wrong.py").write_text(
        "import acestep_fetch as af\n\naf.fetch('main', jobbs=3)\naf.ensure('main', dir=3)\naf.fetch().nonsense\n"
    )
    (tmp_path / "mypy.ini").write_text(  # what the package's inside imports takes time, and says nothing of its outside
        "[mypy]\nstrict = True\nfollow_imports = silent\n"
        "[mypy-aiofiles.*,aiohttp.*,httpx.*,huggingface_hub.*,modelscope.*,modelscope_hub.*,rich.*]\n"
        "follow_imports = skip\nignore_missing_imports = True\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), "--no-incremental"]
    files = map(str, tmp_path.glob("*.py"))
    told = subprocess.run([*command, *files], cwd=CODE, capture_output=True, text=True, check=False)
    wrong = [line.split(": error")[0] for line in told.stdout.splitlines() if ": error" in line]
    assert wrong == [f"{tmp_path / 'wrong.py'}:{line}" for line in (3, 4, 5)], told.stdout + told.stderr


def test_the_page_has_every_function_setting_and_error() -> None:
    for name in ("fetch", "ensure", "plan", "lock", "verify", "models", "status"):
        assert f"| `{name}(" in PAGE
    assert [name for name in Settings.__annotations__ if f"`{name}`" not in PAGE] == []
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FetchError)}
    for kind in kinds - {errors.FetchError, errors.SourceError}:
        row = next((line for line in PAGE.splitlines() if line.startswith("| `") and f"`{kind.__name__}`" in line), "")
        assert str(kind.exit_code) in row, kind
        assert ("| yes |" in row) == kind.retryable, kind
        assert getattr(acestep_fetch, kind.__name__) is kind
