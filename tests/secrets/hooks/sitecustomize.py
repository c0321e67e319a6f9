"""Runs inside the program under test, which knows nothing of it: Python imports it from PYTHONPATH.

`SECRETS_DUMP` names a file for what a debugger, a rich traceback or a core display would show: the repr and str of each
object of the program's own and of the locals of its frames, at an unexpected error and at the end, and every process
that is started. `SECRETS_BREAK` (``module:Class.method`` and optionally ``@n``, the call that breaks) makes a function
raise an error that quotes all that it was given, as the worst library would. `SECRETS_NOISE` makes it only talk, in
every way that Python has. `SECRETS_LOG` names a file for the logs of all libraries.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import inspect
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

_DUMP = os.environ.get("SECRETS_DUMP")
_END = os._exit


def _write(kind: str, *texts: str) -> None:
    with open(str(_DUMP), "a", encoding="utf-8", errors="replace") as dump:
        dump.writelines(f"{kind}: {text}\n" for text in texts)


def _shown(value: object) -> str:
    try:
        return repr(value) if isinstance(value, str) else f"{value!r} {value!s}"
    except Exception as exc:
        return f"no repr: {exc!r}"


def _is_ours(value: object) -> bool:
    return str(getattr(type(value), "__module__", "")).startswith("acestep_fetch")


def _dump_objects() -> None:
    ours = [value for value in gc.get_objects() if _is_ours(value)]
    reached = [inner for value in ours for inner in gc.get_referents(value)]  # what holds no containers is not listed
    _write("object", *{_shown(value) for value in [*ours, *reached] if _is_ours(value)})


def _dump_frames(exc: BaseException | None, seen: set[int]) -> None:
    if exc is None or id(exc) in seen:
        return
    seen.add(id(exc))
    for frame, _ in traceback.walk_tb(exc.__traceback__):
        if "acestep_fetch" in frame.f_code.co_filename:
            for name, value in frame.f_locals.items():
                shown = f"{frame.f_code.co_qualname} {name} = {value!r}"
                if not isinstance(value, BaseException) and "exception=" not in shown:  # ours quote on purpose
                    _write("local", shown)
    for inner in (exc.__cause__, exc.__context__, *getattr(exc, "exceptions", ())):
        _dump_frames(inner, seen)


def _text_of(value: object) -> str:
    """All that can be read from an argument, attributes included."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return " ".join(f"{key}: {_text_of(inner)}" for key, inner in value.items())
    inner = [getattr(value, name, "") for name in ("url", "headers", "token", "_account", "_login", "hub")]
    return f"{value!r} " + " ".join(_text_of(item) if item != "" else "" for item in inner)


def _noise(said: str) -> None:
    warnings.warn(f"a library warns: {said}", RuntimeWarning, stacklevel=2)
    logging.getLogger("some.library").warning("a library logs: %s", said)
    print(f"a library prints: {said}", file=sys.stderr)

    async def fail() -> None:
        raise RuntimeError(f"nobody waits: {said}")

    try:
        asyncio.get_running_loop().create_task(fail())  # and nobody retrieves it
    except RuntimeError:
        return


def _patch(spec: str, *, breaks: bool) -> None:
    path, _, turn = spec.partition("@")
    module, _, name = path.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    inner, calls = getattr(owner, last), 0

    def worst(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls != int(turn or 1):
            return
        said = " | ".join(_text_of(value) for value in (*args, *kwargs.values()))
        if breaks:
            raise RuntimeError(f"boom {said}") from ValueError(f"because {said}")
        _noise(said)

    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def waited(*args: Any, **kwargs: Any) -> Any:
            worst(*args, **kwargs)
            return await inner(*args, **kwargs)

        setattr(owner, last, waited)
    else:

        @functools.wraps(inner)
        def called(*args: Any, **kwargs: Any) -> Any:
            worst(*args, **kwargs)
            return inner(*args, **kwargs)

        setattr(owner, last, called)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"):
        _write("child", f"{event} {args!r}")


def _ended(code: int) -> None:
    _dump_objects()
    _END(code)


if _DUMP:
    _write("start", " ".join(sys.argv[:1]))
    sys.addaudithook(_audit)
    os._exit = _ended  # type: ignore[assignment]
    _hook = sys.excepthook

    def _uncaught(kind: type[BaseException], exc: BaseException, trace: Any) -> None:
        _dump_frames(exc, set())
        _dump_objects()
        _hook(kind, exc, trace)

    sys.excepthook = _uncaught
    if spec := os.environ.get("SECRETS_BREAK"):
        _patch(spec, breaks=True)
    if spec := os.environ.get("SECRETS_NOISE"):
        _patch(spec, breaks=False)
    if log := os.environ.get("SECRETS_LOG"):
        logging.basicConfig(level=logging.DEBUG, filename=log, force=True)
