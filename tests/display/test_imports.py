import subprocess
import sys


def test_rich_is_imported_only_to_draw() -> None:
    code = "import sys, acestep_fetch.display, acestep_fetch.display.bars; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == [b"False"]
