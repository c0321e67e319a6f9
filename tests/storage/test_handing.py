"""Files that people name: what stands there may be a file, a link, a device or a pipe."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acestep_fetch.core.lock import Lock, render
from acestep_fetch.storage import handing
from acestep_fetch.storage.handing import hand_over, is_stream, put
from acestep_fetch.storage.lockfile import lock_before, write_lock


def test_a_link_goes_on_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    file, link = tmp_path / "kept" / "a.lock", tmp_path / "a.lock"
    file.write_bytes(b"old")
    link.symlink_to("kept/a.lock")
    put(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert [path.name for path in file.parent.iterdir()] == ["a.lock"]


def test_a_link_that_leads_nowhere_does_not_choose_where_we_write(tmp_path: Path) -> None:
    link = tmp_path / "a.lock"
    link.symlink_to(tmp_path / "elsewhere")
    put(link, b"new")
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"
    assert not (tmp_path / "elsewhere").exists()


def test_a_device_stays_one(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError:
        pytest.skip("no device can be made here")
    write_lock(device, Lock())
    assert stat.S_ISCHR(device.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["null"]
    assert lock_before(device) is None


def test_a_pipe_gets_it_and_is_not_read(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert lock_before(pipe) is None
    write_lock(pipe, Lock())
    reader.join(10)
    assert got == [render(Lock()).encode()]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


PUT = """
import sys
from pathlib import Path
from acestep_fetch.storage.handing import put
put(Path(sys.argv[1]), b"new")
"""


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_the_output_keeps_what_it_has(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before, ")
    with log.open("ab") as stdout:
        subprocess.run([sys.executable, "-c", PUT, name], stdout=stdout, check=True)
    assert log.read_bytes() == b"before, new"
    piped = subprocess.run([sys.executable, "-c", PUT, name], capture_output=True, check=True)
    assert piped.stdout == b"new"


def test_a_folder_is_no_stream_and_is_refused(tmp_path: Path) -> None:
    assert not is_stream(tmp_path)
    with pytest.raises(OSError, match="directory"):
        put(tmp_path, b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_takes_less_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(handing.os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    data = b"more than three bytes"
    (tmp_path / "file").write_bytes(b"x" * 100)
    hand_over(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == data
