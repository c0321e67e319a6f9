"""Running the program as a user who may not do everything, where the tests themselves run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

NOBODY: Final = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def passable(folder: Path) -> Path:
    """`folder`, with every folder above it passable for all. Skips the test where nobody cannot be acted as."""
    if os.getuid():
        pytest.skip("acting as another user needs root")
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv")
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)
    tried = subprocess.run(
        [*NOBODY, sys.executable, "-m", "acestep_fetch", "--version"], capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"nobody cannot run the program: {tried.stderr.strip()[-200:]}")
    return folder
