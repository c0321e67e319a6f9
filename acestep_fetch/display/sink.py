"""Bytes out to a stream that may be slow, full, stopped or gone.

Writes go to the raw file descriptor, past Python's buffers: a thread that is stuck in a buffer's lock would keep
the interpreter from ending. Where the system can tell (POSIX), a write waits until the other end takes something,
and looks up every now and then whether it has been told to give up; elsewhere the write simply blocks its thread.
"""

from __future__ import annotations

import errno
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

_LOOK_UP: Final = 0.05  # seconds between two looks at whether to give up
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.EBADF)
_CHUNK: Final = getattr(select, "PIPE_BUF", 512)  # POSIX: a writable pipe takes this much without blocking


class Sink:
    """`write` never raises. It may block its thread, until the stream takes the text or `give_up` is called."""

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._raw: Any = getattr(getattr(stream, "buffer", None), "raw", None)
        self.encoding: str = getattr(stream, "encoding", None) or "ascii"
        self.refused = ""  # why nothing can be written, where it is not that the reader is gone
        self.moved = clock()  # when the other end last took something
        self._clock = clock
        self._fd = _descriptor(self._raw)
        self._dead = threading.Event()
        if stream is None:
            self._dead.set()

    @property
    def alive(self) -> bool:
        """False once the other end is gone or has been given up: nothing is written any more."""
        return not self._dead.is_set()

    def give_up(self) -> None:
        self._dead.set()

    def ready(self) -> bool:
        """Whether a little text can be written without waiting, as far as can be known."""
        return self.alive and self._writable(0.0)

    def write(self, text: str) -> None:
        if not self.alive:
            return
        try:
            if self._raw is None:
                self._write_text(text)
            else:
                self._write_raw(text.encode(self.encoding, "replace"))
        except (OSError, ValueError) as exc:  # the reader closed, or the stream did, or there is no room
            if isinstance(exc, OSError) and exc.errno not in _GONE:
                self.refused = exc.strerror or str(exc)
            self._dead.set()

    def _write_text(self, text: str) -> None:
        assert self._stream is not None
        self._stream.write(text)
        self._stream.flush()
        self.moved = self._clock()

    def _write_raw(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self.alive:
            if self._writable(_LOOK_UP):
                took = self._raw.write(rest[:_CHUNK]) or 0  # None where the descriptor does not block and is full
                self.moved = self._clock() if took else self.moved
                rest = rest[took:]

    def _writable(self, seconds: float) -> bool:
        if self._fd is None:
            return True
        try:
            return bool(select.select([], [self._fd], [], seconds)[1])
        except (OSError, ValueError):  # Windows, or a descriptor too large for select(): just write
            self._fd = None
            return True


def _descriptor(raw: Any) -> int | None:
    try:
        return int(raw.fileno())
    except (AttributeError, OSError, ValueError):
        return None
